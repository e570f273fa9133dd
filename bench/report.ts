/**
 * `bench report`: the document out of files that benchmarks have kept, without measuring anything. Each file brings the
 * sections of its claim; the table of goals is made of all of them.
 */
import { readFile } from 'node:fs/promises';
import { type AdaptiveReport, adaptiveSections } from './adaptive.ts';
import { type BatchingReport, batchingSections } from './batching.ts';
import { type DraftersReport, draftersSections } from './drafters.ts';
import { goalsSection } from './goals-section.ts';
import { type ClaimFile, readClaim } from './kept-reports.ts';
import { type LoadReport, loadSections } from './load.ts';
import { type PeerReport, peerSections } from './peer.ts';
import { type PrefillReport, prefillSections } from './prefill.ts';
import { publish, type Section } from './publish.ts';
import { type SimulateReport, simulateSections } from './simulate.ts';
import { type SweepReport, sweepSections } from './sweep.ts';
import type { WanReport } from './wan-report.ts';
import { wanSections } from './wan-sections.ts';

/** Throws Error for a file that no benchmark has written. */
export async function writeReport(
  jsonPaths: readonly string[],
  documentPath: string,
  print: (line: string) => void,
): Promise<void> {
  const files = await Promise.all(
    jsonPaths.map(async (path) => readClaim(await readFile(path, 'utf8'), path)),
  );
  const sections = [goalsSection(files), ...files.flatMap(sectionsOf)];
  await publish({ jsonPath: null, documentPath, print }, { json: null, sections });
}

function sectionsOf({ claim, reports }: ClaimFile<unknown>): Section[] {
  switch (claim) {
    case 'wan':
      return wanSections(reports as WanReport[]);
    case 'adaptive':
      return adaptiveSections(reports as AdaptiveReport[]);
    case 'peer':
      return peerSections(reports as PeerReport[]);
    case 'sweep':
      return sweepSections(reports as SweepReport[]);
    case 'drafters':
      return draftersSections(reports as DraftersReport[]);
    case 'load':
      return loadSections(reports as LoadReport[]);
    case 'simulate':
      return simulateSections(reports as SimulateReport[]);
    case 'batching':
      return batchingSections(reports as BatchingReport[]);
    case 'prefill':
      return prefillSections(reports as PrefillReport[]);
    default:
      throw new Error(`'${claim}' is no claim that this command knows.`);
  }
}
