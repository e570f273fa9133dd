/**
 * Models on disk: `<home>/models/<sha256>.gguf`, named by content, and beside them one small record per name.
 * Invariant: a file with its final name is complete, was summed in full and is flushed; everything else lies under
 * `incoming/`. Nothing here is ever changed in place: files and records are renamed into position.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hashFile } from './part-file.ts';
import { PullError, storeFailure, systemCode } from './pull-error.ts';

/** What is known of a pulled model; the content of `<name>.json`. */
export interface ModelRecord {
  readonly name: string;
  readonly sha256: string;
  readonly bytes: number;
  /** Where it came from, as written in the catalog; 'store' if the file was there already. */
  readonly source: string;
  /** ISO 8601. */
  readonly pulledAt: string;
}

export interface StoredModel extends ModelRecord {
  readonly path: string;
}

export interface ModelStore {
  /** `<home>/models`. */
  readonly directory: string;
  /** The recorded model, if its file is there with the recorded size; else null. The sum is not computed. */
  find(name: string): Promise<StoredModel | null>;
  /** The file of that sum, if there is one of that size and (read in full) of that sum; else null. */
  findContent(sha256: string, bytes: number, signal: AbortSignal): Promise<string | null>;
  /** Reads the whole file: does it still have its sum? A file that has not is removed. Throws `aborted`. */
  verify(model: StoredModel, signal: AbortSignal, onBytes?: (bytes: number) => void): Promise<boolean>;
  /** Moves a flushed file into the store under its sum and records the name. */
  adopt(path: string, record: Omit<ModelRecord, 'pulledAt'>): Promise<StoredModel>;
  /** Records a name for a file that is in the store. */
  record(record: Omit<ModelRecord, 'pulledAt'>): Promise<StoredModel>;
  /** Sum of any file, computed once per (real path, size, change time). Throws `not_a_file`, `aborted`. */
  sumOf(
    path: string,
    signal: AbortSignal,
    onBytes?: (bytes: number, total: number) => void,
  ): Promise<FileSum>;
  /** Where a pull of this name keeps its lock and parts. */
  incoming(name: string): string;
}

export interface FileSum {
  readonly path: string;
  readonly sha256: string;
  readonly bytes: number;
}

/** Names become file names. */
const namePattern = /^[a-z0-9][a-z0-9._-]{0,99}$/;
/** Records and the list of sums are far smaller; a larger file is not ours. */
const recordBytesMax = 256 * 1024;
/** Files given by path whose sum is remembered; the oldest goes first. */
const rememberedSumsMax = 64;

/** Opens (and creates) the store below `home`. `now` is the clock, ms since 1970. Throws `no_permission`. */
export async function openStore(home: string, now: () => number = Date.now): Promise<ModelStore> {
  const directory = join(home, 'models');
  const sumsPath = join(directory, 'sums.json');
  await inStore(directory, () => mkdir(join(directory, 'incoming'), { recursive: true }));

  const contentPath = (sha256: string) => join(directory, `${sha256}.gguf`);
  const recordPath = (name: string) => {
    if (!namePattern.test(name))
      throw new PullError('unknown_model', `"${name.slice(0, 100)}" is no name of a model`);
    return join(directory, `${name}.json`);
  };

  const store: ModelStore = {
    directory,
    async find(name) {
      const record = parseRecord(await readSmall(recordPath(name)), name);
      if (record === null) return null;
      const path = contentPath(record.sha256);
      return (await fileBytes(path)) === record.bytes ? { ...record, path } : null;
    },
    async findContent(sha256, bytes, signal) {
      const path = contentPath(sha256);
      const size = await fileBytes(path);
      if (size === null) return null;
      const sound = size === bytes && (await sumFile(path, signal)) === sha256;
      if (!sound) await inStore(path, () => rm(path, { force: true }));
      return sound ? path : null;
    },
    async verify(model, signal, onBytes) {
      const sound = (await sumFile(model.path, signal, onBytes)) === model.sha256;
      if (!sound) await inStore(model.path, () => rm(model.path, { force: true }));
      return sound;
    },
    async adopt(path, record) {
      const target = contentPath(record.sha256);
      recordPath(record.name);
      await inStore(target, () => rename(path, target));
      await flushDirectory(directory);
      return store.record(record);
    },
    async record(fields) {
      const record: ModelRecord = { ...fields, pulledAt: new Date(now()).toISOString() };
      await replaceFile(recordPath(record.name), `${JSON.stringify(record, null, 2)}\n`);
      return { ...record, path: contentPath(record.sha256) };
    },
    async sumOf(path, signal, onBytes) {
      const file = await statModelFile(path);
      const known = parseSums(await readSmall(sumsPath));
      const hit = known.find((sum) => sum.key === file.key);
      if (hit !== undefined) return { path, sha256: hit.sha256, bytes: file.bytes };
      const sha256 = await sumFile(path, signal, (bytes) => onBytes?.(bytes, file.bytes));
      if ((await statModelFile(path)).key !== file.key) {
        throw new PullError('not_a_file', `${path} changed while it was read: wait until it is complete`);
      }
      // Two processes may each lose the other's line here: it is computed again then.
      const sums = [...known, { key: file.key, sha256 }].slice(-rememberedSumsMax);
      await replaceFile(sumsPath, JSON.stringify(sums));
      return { path, sha256, bytes: file.bytes };
    },
    incoming: (name) => {
      recordPath(name);
      return join(directory, 'incoming', name);
    },
  };
  return store;
}

async function inStore<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw storeFailure(error, path);
  }
}

async function sumFile(
  path: string,
  signal: AbortSignal,
  onBytes?: (bytes: number) => void,
): Promise<string> {
  const hash = createHash('sha256');
  await inStore(path, () => hashFile(path, hash, signal, onBytes));
  return hash.digest('hex');
}

async function fileBytes(path: string): Promise<number | null> {
  const file = await stat(path).catch(() => null);
  return file?.isFile() ? file.size : null;
}

/** Size, and a key that changes whenever the content may have. */
async function statModelFile(path: string): Promise<{ bytes: number; key: string }> {
  try {
    const real = await realpath(path);
    const file = await stat(real, { bigint: true });
    if (!file.isFile())
      throw new PullError('not_a_file', `${path} is not a file: give the path of a .gguf file`);
    return {
      bytes: Number(file.size),
      key: `${real}\n${file.ino} ${file.size} ${file.mtimeNs} ${file.ctimeNs}`,
    };
  } catch (error) {
    if (error instanceof PullError) throw error;
    const reason =
      systemCode(error) === 'ENOENT' ? 'does not exist' : `cannot be read (${systemCode(error)})`;
    throw new PullError('not_a_file', `${path} ${reason}: check the path`, { cause: error });
  }
}

async function readSmall(path: string): Promise<unknown> {
  try {
    const bytes = await fileBytes(path);
    if (bytes === null || bytes > recordBytesMax) return null;
    return JSON.parse(await readFile(path, 'utf8')) as unknown;
  } catch {
    return null; // Unreadable or torn: as good as absent, it is written anew.
  }
}

function parseRecord(value: unknown, name: string): ModelRecord | null {
  if (typeof value !== 'object' || value === null) return null;
  const { sha256, bytes, source, pulledAt } = value as Record<string, unknown>;
  if (typeof sha256 !== 'string' || !isSha256(sha256) || typeof bytes !== 'number') return null;
  if (typeof source !== 'string' || typeof pulledAt !== 'string') return null;
  return { name, sha256, bytes, source, pulledAt };
}

function parseSums(value: unknown): { key: string; sha256: string }[] {
  if (!Array.isArray(value)) return [];
  return value.filter((sum: unknown): sum is { key: string; sha256: string } => {
    const { key, sha256 } = (sum ?? {}) as Record<string, unknown>;
    return typeof key === 'string' && typeof sha256 === 'string' && isSha256(sha256);
  });
}

/** 64 lower-case hex digits? */
export function isSha256(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

/** Writes beside the target, flushes, renames: a reader sees the old file or the new one. */
async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    await writeFile(temporary, text, { flush: true });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw storeFailure(error, path);
  }
}

/** A rename is on the disk only when its folder is. Windows cannot open folders and needs none of it. */
async function flushDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r').catch(() => null);
  await handle?.sync().catch(() => {});
  await handle?.close();
}
