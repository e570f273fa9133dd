/**
 * One puller per model among all processes: a lock file that its holder touches every few seconds.
 * Stale is a lock of a dead process of this machine, or one that nobody touched for long (other containers and machines
 * that share the folder cannot be asked; process ids come again after a restart). Losing the race for a stale
 * lock costs a second download, never a wrong file: what is adopted is summed first.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, open, readFile, rm, rmdir, stat, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { abortedPull, PullError, storeFailure, systemCode } from './pull-error.ts';

export interface HeldLock {
  release(): Promise<void>;
}

const beatMs = 2_000;
/** Many missed beats: also a machine that swaps hard beats that often. */
const staleAfterMs = 30_000;
const pollMs = 200;

interface LockContent {
  readonly pid: number;
  readonly host: string;
  readonly token: string;
}

/** Locks of this process: an id of our own in a lock file that is not here is left from an earlier life. */
const heldTokens = new Set<string>();

/**
 * Takes the lock at `path` (in a folder made for it, removed again when empty), waiting up to `waitMs` for a living holder. `onWait` is told once who holds it.
 * Throws `locked`, `aborted`.
 */
export async function holdLock(
  path: string,
  options: { waitMs: number; signal: AbortSignal; onWait: (pid: number) => void },
): Promise<HeldLock> {
  const mine: LockContent = { pid: process.pid, host: hostname(), token: randomUUID() };
  const deadline = performance.now() + options.waitMs;
  let told = false;
  for (;;) {
    if (options.signal.aborted) throw abortedPull();
    if (await create(path, mine)) return keep(path, mine);
    const holder = await read(path);
    if (await isStale(path, holder)) {
      await rm(path, { force: true });
      continue;
    }
    if (performance.now() > deadline) {
      throw new PullError(
        'locked',
        `another process (${holder?.pid ?? '?'}) has been pulling this model for too long: end it, or remove ${path}`,
      );
    }
    if (!told) options.onWait(holder?.pid ?? 0);
    told = true;
    await sleep(pollMs, undefined, { signal: options.signal }).catch(() => {});
  }
}

async function create(path: string, content: LockContent): Promise<boolean> {
  try {
    await mkdir(dirname(path), { recursive: true });
    const handle = await open(path, 'wx');
    try {
      await handle.writeFile(JSON.stringify(content));
    } finally {
      await handle.close();
    }
    return true;
  } catch (error) {
    // ENOENT: the holder before us has just removed the folder behind itself.
    if (systemCode(error) === 'EEXIST' || systemCode(error) === 'ENOENT') return false;
    throw storeFailure(error, path);
  }
}

function keep(path: string, mine: LockContent): HeldLock {
  heldTokens.add(mine.token);
  const beat = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => {});
  }, beatMs);
  beat.unref();
  return {
    async release() {
      clearInterval(beat);
      heldTokens.delete(mine.token);
      if ((await read(path))?.token !== mine.token) return;
      await rm(path, { force: true });
      await rmdir(dirname(path)).catch(() => {}); // Whatever else lies there keeps it.
    },
  };
}

async function read(path: string): Promise<LockContent | null> {
  try {
    const { pid, host, token } = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
    if (typeof pid !== 'number' || typeof host !== 'string' || typeof token !== 'string') return null;
    return { pid, host, token };
  } catch {
    return null; // Gone, or its holder is about to write it: then only its age counts.
  }
}

async function isStale(path: string, holder: LockContent | null): Promise<boolean> {
  const file = await stat(path).catch(() => null);
  if (file === null) return false;
  if (Date.now() - file.mtimeMs > staleAfterMs) return true;
  if (holder === null || holder.host !== hostname()) return false;
  if (holder.pid === process.pid) return !heldTokens.has(holder.token);
  try {
    process.kill(holder.pid, 0);
    return false;
  } catch (error) {
    return systemCode(error) === 'ESRCH';
  }
}
