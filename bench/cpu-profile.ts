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

/** Whose code it is: the system of sockets and threads below JavaScript, and collecting garbage, among them. */
export type Owner = 'arithmetic' | 'Foretoken' | 'Node' | 'packages' | 'native' | 'garbage';

export interface FunctionTime {
  /** "run executor.ts:70", "(garbage collector)", "writeGeneric node:internal/stream_base_commons". */
  readonly name: string;
  readonly owner: Owner;
  readonly ms: number;
}

/** Not running on a processor, as far as V8 knows. */
const idle = '(idle)';

/** Now, on the clock of profiles. */
export function profileClockUs(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

/** The call of the runtime that runs a graph, as onnxruntime-node has it: its self time is the pass. */
const arithmeticFile = 'onnxruntime-node/dist/backend.js';

/** Self time of every function within the window, longest first; idle time is left out. */
export function selfTimes(
  { nodes, startTime, samples, timeDeltas }: CpuProfile,
  window: Window,
): FunctionTime[] {
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const times = new Map<string, FunctionTime>();
  let atUs = startTime;
  for (const [i, node] of samples.entries()) {
    const deltaUs = timeDeltas[i]!;
    atUs += deltaUs;
    const frame = frames.get(node)!;
    const name = nameOf(frame);
    if (name === idle || atUs < window.fromUs || atUs > window.toUs) continue;
    // The time before a sample belongs to what ran until it was taken.
    const ms = (times.get(name)?.ms ?? 0) + deltaUs / 1000;
    times.set(name, { name, owner: ownerOf(frame), ms });
  }
  return [...times.values()].toSorted((a, b) => b.ms - a.ms);
}

/** Does a file of this project with that path's end run in the profile? */
export function runsFile({ nodes }: CpuProfile, path: string): boolean {
  return nodes.some(({ callFrame }) => callFrame.url.endsWith(path));
}

function ownerOf({ functionName, url }: CpuProfile['nodes'][number]['callFrame']): Owner {
  if (url.endsWith(arithmeticFile)) return 'arithmetic';
  if (url.startsWith('node:')) return 'Node';
  if (url.includes('/node_modules/')) return 'packages';
  if (url !== '') return 'Foretoken';
  return functionName === '(garbage collector)' ? 'garbage' : 'native';
}

function nameOf({ functionName, url, lineNumber }: CpuProfile['nodes'][number]['callFrame']): string {
  if (url === '') return functionName;
  const file = url.startsWith('node:') ? url : url.slice(url.lastIndexOf('/') + 1);
  const place = url.startsWith('node:') ? file : `${file}:${lineNumber + 1}`;
  return `${functionName === '' ? '(anonymous)' : functionName} ${place}`;
}
