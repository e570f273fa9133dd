/** Processor time of processes as Linux counts it, this one among them; elsewhere of this one alone is no answer: NaN. */
import { readFileSync } from 'node:fs';

/** Ticks of /proc in a second: part of the kernel's interface, whatever its own clock does. */
const ticksPerSecond = 100;
/** Places of utime and stime behind the name of the process, which may hold blanks (proc(5), /proc/pid/stat). */
const userTicksAt = 11;
const systemTicksAt = 12;

/** User and system time of all threads of these processes so far, ms. */
export function cpuMs(pids: readonly number[]): number {
  if (process.platform !== 'linux') return Number.NaN;
  return pids.reduce((sum, pid) => sum + (1000 * ticksOf(pid)) / ticksPerSecond, 0);
}

function ticksOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[userTicksAt]) + Number(fields[systemTicksAt]);
}
