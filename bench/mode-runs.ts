/**
 * The measurement behind the reports: every prompt in every mode, modes interleaved and their order turned from
 * prompt to prompt, so that a machine that warms up or gets busy treats all alike. Greedy output is compared id by id:
 * a lossless mode that answers differently is an error of the system, not a result.
 */
import type { RoundRecord, SessionStats } from '../src/engine/session-stats.ts';
import type { BenchAnswer, BenchRequest } from './bench-gateway.ts';
import type { BenchPrompt } from './data-set.ts';
import type { Topology } from './formula.ts';
import { type BenchMode, isLossless, plainChain } from './modes.ts';
import { editPrediction } from './prediction-edits.ts';
import { repetitionPeriod } from './repetition.ts';

/** Predictions are measured where editors send them: on code. */
const predictionSet = 'humaneval';
/** A shorter output is over before a prediction can pay. */
const predictedTokensMin = 30;

/** One prompt of one set, ready to send. */
export interface BenchTask extends BenchPrompt {
  readonly set: string;
  readonly promptIds: readonly number[];
}

export interface ModeRun {
  readonly set: string;
  readonly prompt: string;
  readonly kind: string;
  readonly mode: string;
  readonly repeat: number;
  readonly promptTokens: number;
  readonly ids: readonly number[];
  /** The output ends in an endless loop: kept, marked, and left out of summaries. */
  readonly repeating: boolean;
  readonly firstTokenMs: number;
  readonly decodeMs: number;
  readonly decodeTokens: number;
  readonly rounds: readonly RoundRecord[];
  /** Counted whole, see withOpening. */
  readonly spills: boolean;
  readonly leniency: SessionStats['leniency'];
}

/** An output that differs from that of plain decoding over the chain. */
export interface Difference {
  readonly prompt: string;
  readonly mode: string;
  /** First output position that differs. */
  readonly index: number;
}

export interface MeasureOptions {
  /** The plain chain must be among them. */
  readonly modes: readonly BenchMode[];
  readonly tasks: readonly BenchTask[];
  readonly repeats: number;
  readonly maxTokens: number;
  readonly vocab: number;
  readonly seed: number;
  /**
   * Who has asked for other prompts of the set before; null if there are none, then the mode is left out. Asked anew for
   * each mode and repeat: an owner that is measured twice on a prompt would know the answer.
   */
  readonly warmOwner: (set: string, use: string) => Promise<string | null>;
  readonly generate: (topology: Topology, request: BenchRequest) => Promise<BenchAnswer>;
  /** Called after every prompt, outside measured time. */
  readonly onTask: (done: number, total: number, runs: readonly ModeRun[]) => Promise<void>;
}

export async function measureModes(
  options: MeasureOptions,
): Promise<{ readonly runs: readonly ModeRun[]; readonly differences: readonly Difference[] }> {
  const { tasks, repeats } = options;
  const lossless = new Set(options.modes.filter(isLossless).map(({ name }) => name));
  const runs: ModeRun[] = [];
  const differences: Difference[] = [];
  for (let repeat = 0; repeat < repeats; repeat++) {
    for (const [index, task] of tasks.entries()) {
      const place = repeat * tasks.length + index;
      const asMeasured = await measureTask(options, task, repeat, place);
      const plain = asMeasured.find(({ mode }) => mode === plainChain.name)!;
      const measured = asMeasured.map((run) => (run.spills ? withOpening(run, plain) : run));
      for (const { mode, ids } of measured) {
        const at = lossless.has(mode) ? firstDifference(plain.ids, ids) : -1;
        if (at !== -1) differences.push({ prompt: task.id, mode, index: at });
      }
      runs.push(...measured);
      await options.onTask(place + 1, repeats * tasks.length, measured);
    }
  }
  return { runs, differences };
}

/** Every mode on one prompt; predictions come last since they are made of the plain output. */
async function measureTask(
  options: MeasureOptions,
  task: BenchTask,
  repeat: number,
  place: number,
): Promise<ModeRun[]> {
  const modes = options.modes.filter(({ every = 1 }) => place % every === 0);
  const runs: ModeRun[] = [];
  const unpredicted = modes.filter(({ predictionEdits }) => predictionEdits === null);
  for (const mode of turned(unpredicted, place)) {
    const owner = mode.warm ? await options.warmOwner(task.set, `${mode.name} ${repeat}`) : undefined;
    if (owner !== null) runs.push(await measureRun(options, task, mode, repeat, null, owner));
  }
  const { ids, repeating } = runs.find(({ mode }) => mode === plainChain.name)!;
  if (task.set !== predictionSet || repeating || ids.length <= predictedTokensMin) return runs;
  const predicted = modes.filter(({ predictionEdits }) => predictionEdits !== null);
  for (const mode of turned(predicted, place)) {
    const prediction = editPrediction(ids, mode.predictionEdits!, options.seed + place, options.vocab);
    runs.push(await measureRun(options, task, mode, repeat, prediction));
  }
  return runs;
}

async function measureRun(
  { generate, maxTokens }: MeasureOptions,
  { set, id, kind, promptIds }: BenchTask,
  { name, topology, speculation, verification }: BenchMode,
  repeat: number,
  prediction: Uint32Array | null,
  owner?: string,
): Promise<ModeRun> {
  const answer = await generate(topology, {
    ...{ promptIds, maxTokens, prediction, speculation },
    ...(verification === undefined ? {} : { verification }),
    ...(owner === undefined ? {} : { owner }),
  });
  const repeating = repetitionPeriod(answer.ids) > 0;
  return { set, prompt: id, kind, mode: name, repeat, promptTokens: promptIds.length, ...answer, repeating };
}

/**
 * The first verdict starts the clock. Where drafts that left with the prompt are answered behind it, their tokens would
 * cost nothing; such an answer is counted whole, and its first round charged with a plain round of the same prompt.
 */
export function withOpening(run: ModeRun, plain: ModeRun): ModeRun {
  const plainRoundMs = plain.decodeMs / plain.decodeTokens;
  return { ...run, decodeMs: run.decodeMs + plainRoundMs, decodeTokens: run.ids.length };
}

function turned<T>(items: readonly T[], by: number): T[] {
  return items.map((_, i) => items[(i + by) % items.length]);
}

/** -1 if both are equal. */
export function firstDifference(a: readonly number[], b: readonly number[]): number {
  const length = Math.max(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return i;
  return -1;
}
