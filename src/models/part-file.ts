/**
 * A model file while it arrives. Invariant: the running sum covers exactly the bytes [0, offset) of the file, also
 * after a resume (the bytes that are there are read once more) and after a restart.
 * Beside it lies a note of what the bytes belong to, so that a resume never mixes two files.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, readFile, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { abortedPull, diskFull, PullError, storeFailure } from './pull-error.ts';

export interface PartFile {
  readonly path: string;
  /** Bytes in the file. */
  readonly offset: number;
  /** What the bytes belong to (a sum or an ETag), or null where nobody said. */
  readonly identity: string | null;
  /** Throws `wrong_size` beyond the limit, `disk_full`. */
  append(chunk: Uint8Array): Promise<void>;
  /** Empties the file; what follows belongs to `identity`. */
  restart(identity: string | null): Promise<void>;
  /** Flushes to the disk; the sum of everything. */
  finish(): Promise<{ sha256: string; bytes: number }>;
  close(): Promise<void>;
}

/** Our notes are some 100 bytes; a longer one is not ours. */
const noteBytesMax = 4096;

/** Opens or creates the part at `path`; at most `bytesMax` bytes may come to lie in it. */
export async function openPart(path: string, bytesMax: number, signal: AbortSignal): Promise<PartFile> {
  let identity = await readNote(path);
  let handle: FileHandle;
  let hash = createHash('sha256');
  let offset = 0;
  try {
    if (identity === null) await rm(path, { force: true });
    else if (await exists(path)) offset = await hashFile(path, hash, signal);
    handle = await open(path, 'a');
  } catch (error) {
    throw storeFailure(error, path);
  }

  return {
    path,
    get offset() {
      return offset;
    },
    get identity() {
      return identity;
    },
    async append(chunk) {
      if (offset + chunk.byteLength > bytesMax) {
        throw new PullError(
          'wrong_size',
          `the source sends more than the ${bytesMax} bytes that this model may have`,
        );
      }
      try {
        for (let done = 0; done < chunk.byteLength; ) {
          done += (await handle.write(chunk, done, chunk.byteLength - done)).bytesWritten;
        }
      } catch (error) {
        throw storeFailure(error, path);
      }
      hash.update(chunk);
      offset += chunk.byteLength;
    },
    async restart(newIdentity) {
      try {
        await rm(notePath(path), { force: true });
        if (offset > 0) await handle.truncate(0);
        if (newIdentity !== null) await writeFile(notePath(path), JSON.stringify({ identity: newIdentity }));
      } catch (error) {
        throw storeFailure(error, path);
      }
      hash = createHash('sha256');
      offset = 0;
      identity = newIdentity;
    },
    async finish() {
      try {
        await handle.sync();
      } catch (error) {
        throw storeFailure(error, path);
      }
      return { sha256: hash.copy().digest('hex'), bytes: offset };
    },
    close: () => handle.close(),
  };
}

/** Removes the part and its note. */
export async function discardPart(path: string): Promise<void> {
  await rm(path, { force: true });
  await rm(notePath(path), { force: true });
}

/** Where the note of a part lies. */
export function notePath(path: string): string {
  return `${path}.json`;
}

/** Throws `disk_full` before a byte is fetched when `bytes` more cannot fit beside `path`. */
export async function assertFreeSpace(path: string, bytes: number): Promise<void> {
  let free: number;
  try {
    const disk = await statfs(dirname(path));
    free = disk.bavail * disk.bsize;
  } catch {
    return; // A file system that does not tell: the write itself will.
  }
  if (free < bytes) throw diskFull(path, bytes - free);
}

/** Feeds a file into `hash`, in order; gives the number of bytes. Throws `aborted`. */
export async function hashFile(
  path: string,
  hash: ReturnType<typeof createHash>,
  signal: AbortSignal,
  onBytes: (bytes: number) => void = () => {},
): Promise<number> {
  let bytes = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: readChunkBytes })) {
    if (signal.aborted) throw abortedPull();
    hash.update(chunk as Uint8Array);
    bytes += (chunk as Uint8Array).byteLength;
    onBytes(bytes);
  }
  return bytes;
}

/** Large enough that hashing, not the number of reads, takes the time. */
const readChunkBytes = 1 << 20;

async function readNote(path: string): Promise<string | null> {
  try {
    if ((await stat(notePath(path))).size > noteBytesMax) return null;
    const note = JSON.parse(await readFile(notePath(path), 'utf8')) as { identity?: unknown };
    return typeof note.identity === 'string' ? note.identity : null;
  } catch {
    return null; // No note, or a torn one: the bytes beside it are worth nothing.
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}
