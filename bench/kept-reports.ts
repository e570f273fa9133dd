/**
 * Reports of earlier runs out of the JSON file that a new run is written to: so a document can be made of runs that were
 * made one after the other. A report of the same conditions is replaced, any other stays.
 */
import { readFile } from 'node:fs/promises';

export interface ClaimFile<T> {
  readonly claim: string;
  readonly reports: readonly T[];
}

/** What a report of one ring at one delay is repeated or replaced by. */
export function ringConditions({ workers, askedT1Ms }: { workers: number; askedT1Ms: number }): string {
  return JSON.stringify([workers, askedT1Ms]);
}

/** The file's reports, then these. Throws Error for a file that is no JSON, or of another claim. */
export async function withKept<T>(
  path: string | null,
  { claim, reports }: ClaimFile<T>,
  conditionsOf: (report: T) => string,
): Promise<T[]> {
  const measured = new Set(reports.map(conditionsOf));
  const earlier = path === null ? [] : await readReports<T>(path, claim);
  return [...earlier.filter((report) => !measured.has(conditionsOf(report))), ...reports];
}

/** None if there is no such file. */
async function readReports<T>(path: string, claim: string): Promise<readonly T[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  const file = readClaim(text, path) as ClaimFile<T>;
  if (file.claim !== claim) throw new Error(`${path} holds reports of '${file.claim}', not of '${claim}'.`);
  return file.reports;
}

/** Throws Error for anything but a file that a benchmark has written. */
export function readClaim(text: string, path: string): ClaimFile<unknown> {
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch (cause) {
    throw new Error(`${path} is not JSON; give a file that --json has written.`, { cause });
  }
  if (typeof file === 'object' && file !== null && 'claim' in file && 'reports' in file)
    return file as ClaimFile<unknown>;
  throw new Error(`${path} holds no reports; give a file that --json has written.`);
}
