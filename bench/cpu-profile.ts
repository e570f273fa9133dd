/**
 * V8 CPU profiles → self time by function. A profile holds samples with times on the machine's monotonic clock, so
 * those of several processes can be cut to one and the same window: what happened while something was measured.
 */

/** As V8 writes them; times in µs. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: {
      readonly functionName: string;
      readonly url: string;
      readonly lineNumber: number;
    };
  }[];
  readonly startTime: number;
  readonly samples: readonly number[];
  /** Between a sample and the one before. */
  readonly timeDeltas: readonly number[];
}

export interface Window {
  readonly fromUs: number;
  readonly toUs: number;
}

export interface FunctionTime {
  /** "run executor.ts:70", "(garbage collector)", "writeGeneric node:internal/stream_base_commons". */
  readonly name: string;
  readonly ms: number;
}

/** Not running on a processor, as far as V8 knows. */
const idle = '(idle)';

/** Now, on the clock of profiles. */
export function profileClockUs(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

/** Self time of every function within the window, longest first; idle time is left out. */
export function selfTimes(
  { nodes, startTime, samples, timeDeltas }: CpuProfile,
  window: Window,
): FunctionTime[] {
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const times = new Map<string, number>();
  let atUs = startTime;
  for (const [i, node] of samples.entries()) {
    const deltaUs = timeDeltas[i]!;
    atUs += deltaUs;
    const name = names.get(node)!;
    if (name === idle || atUs < window.fromUs || atUs > window.toUs) continue;
    // The time before a sample belongs to what ran until it was taken.
    times.set(name, (times.get(name) ?? 0) + deltaUs / 1000);
  }
  return [...times].map(([name, ms]) => ({ name, ms })).toSorted((a, b) => b.ms - a.ms);
}

/** Does a file of this project with that path's end run in the profile? */
export function runsFile({ nodes }: CpuProfile, path: string): boolean {
  return nodes.some(({ callFrame }) => callFrame.url.endsWith(path));
}

function nameOf({ functionName, url, lineNumber }: CpuProfile['nodes'][number]['callFrame']): string {
  if (url === '') return functionName;
  const file = url.startsWith('node:') ? url : url.slice(url.lastIndexOf('/') + 1);
  const place = url.startsWith('node:') ? file : `${file}:${lineNumber + 1}`;
  return `${functionName === '' ? '(anonymous)' : functionName} ${place}`;
}
