/**
 * Which processes belong to one another, and which of them still run. Asked of /proc where there is one, else of ps.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

interface ProcessEntry {
  readonly pid: number;
  readonly parent: number;
  /** Ended, and only its parent has not asked for it yet. */
  readonly zombie: boolean;
}

/** The process and everything below it, itself first. Processes whose parent is gone are not found: ask before. */
export function processTree(root: number): number[] {
  const entries = listProcesses();
  const tree = [root];
  for (const pid of tree)
    tree.push(...entries.filter(({ parent }) => parent === pid).map((entry) => entry.pid));
  return tree;
}

/** Those of the pids that run now. */
export function survivors(pids: readonly number[]): number[] {
  const running = new Set(listProcesses().flatMap(({ pid, zombie }) => (zombie ? [] : [pid])));
  return pids.filter((pid) => running.has(pid));
}

/** Waits until none of them runs; those that still do after `msMax`. */
export async function survivorsAfter(pids: readonly number[], msMax: number): Promise<number[]> {
  const deadline = performance.now() + msMax;
  for (;;) {
    const left = survivors(pids);
    if (left.length === 0 || performance.now() > deadline) return left;
    await sleep(20);
  }
}

function listProcesses(): ProcessEntry[] {
  return existsSync('/proc/self/stat') ? fromProc() : fromPs();
}

function fromProc(): ProcessEntry[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        // pid (name, which may hold anything) state parent …
        const [state, parent] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ');
        return [{ pid: Number(pid), parent: Number(parent), zombie: state === 'Z' || state === 'X' }];
      } catch {
        return []; // It ended meanwhile.
      }
    });
}

function fromPs(): ProcessEntry[] {
  const lines = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,state='], { encoding: 'utf8' })
    .trim()
    .split('\n');
  return lines.map((line) => {
    const [pid, parent, state] = line.trim().split(/\s+/);
    return { pid: Number(pid), parent: Number(parent), zombie: state?.startsWith('Z') === true };
  });
}
