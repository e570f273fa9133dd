/**
 * The measurement behind the wan report: every prompt in every mode, modes interleaved and their order turned from
 * prompt to prompt, so that a machine that warms up or gets busy treats all alike. Greedy output is compared id by id:
 * a mode that answers differently is an error of the system, not a result.
 */
import type { RoundRecord } from '../src/engine/session-stats.ts';
import type { BenchAnswer, BenchRequest } from './bench-gateway.ts';
import type { BenchPrompt } from './data-set.ts';
import type { Topology } from './formula.ts';
import { editPrediction } from './prediction-edits.ts';
import { repetitionPeriod } from './repetition.ts';

export const wanModes = {
  'plain chain': { topology: 'chain', drafter: 'none', predictionEdits: null },
  'plain star': { topology: 'star', drafter: 'none', predictionEdits: null },
  speculative: { topology: 'chain', drafter: 'ngram', predictionEdits: null },
  'prediction exact': { topology: 'chain', drafter: 'ngram', predictionEdits: 0 },
  'prediction 5 % off': { topology: 'chain', drafter: 'ngram', predictionEdits: 0.05 },
} as const satisfies Record<
  string,
  {
    readonly topology: Topology;
    readonly drafter: 'none' | 'ngram';
    /** Share of the plain output's tokens that are changed in the prediction; null: no prediction. */
    readonly predictionEdits: number | null;
  }
>;

export type WanMode = keyof typeof wanModes;

const baseModes: readonly WanMode[] = ['plain chain', 'plain star', 'speculative'];
const predictionModes: readonly WanMode[] = ['prediction exact', 'prediction 5 % off'];
/** Predictions are measured where editors send them: on code. */
const predictionSet = 'humaneval';
/** A shorter output is over before a prediction can pay. */
const predictedTokensMin = 30;

/** One prompt of one set, ready to send. */
export interface WanTask extends BenchPrompt {
  readonly set: string;
  readonly promptIds: readonly number[];
}

export interface WanRun {
  readonly set: string;
  readonly prompt: string;
  readonly kind: string;
  readonly mode: WanMode;
  readonly repeat: number;
  readonly promptTokens: number;
  readonly ids: readonly number[];
  /** The output ends in an endless loop: kept, marked, and left out of summaries. */
  readonly repeating: boolean;
  readonly firstTokenMs: number;
  readonly decodeMs: number;
  readonly decodeTokens: number;
  readonly rounds: readonly RoundRecord[];
}

/** An output that differs from that of plain decoding over the chain. */
export interface Difference {
  readonly prompt: string;
  readonly mode: WanMode;
  /** First output position that differs. */
  readonly index: number;
}

export interface WanOptions {
  readonly tasks: readonly WanTask[];
  readonly repeats: number;
  readonly maxTokens: number;
  readonly vocab: number;
  readonly seed: number;
  readonly generate: (topology: Topology, request: BenchRequest) => Promise<BenchAnswer>;
  /** Called after every prompt, outside measured time. */
  readonly onTask: (done: number, total: number, runs: readonly WanRun[]) => Promise<void>;
}

export async function measureWan(
  options: WanOptions,
): Promise<{ readonly runs: readonly WanRun[]; readonly differences: readonly Difference[] }> {
  const { tasks, repeats } = options;
  const runs: WanRun[] = [];
  const differences: Difference[] = [];
  for (let repeat = 0; repeat < repeats; repeat++) {
    for (const [index, task] of tasks.entries()) {
      const place = repeat * tasks.length + index;
      const measured = await measureTask(options, task, repeat, place);
      const plain = measured.find(({ mode }) => mode === 'plain chain')!;
      for (const { mode, ids } of measured) {
        const at = firstDifference(plain.ids, ids);
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
  options: WanOptions,
  task: WanTask,
  repeat: number,
  place: number,
): Promise<WanRun[]> {
  const runs: WanRun[] = [];
  for (const mode of turned(baseModes, place)) runs.push(await measureRun(options, task, mode, repeat, null));
  const { ids, repeating } = runs.find(({ mode }) => mode === 'plain chain')!;
  if (task.set !== predictionSet || repeating || ids.length <= predictedTokensMin) return runs;
  for (const mode of turned(predictionModes, place)) {
    const prediction = editPrediction(
      ids,
      wanModes[mode].predictionEdits!,
      options.seed + place,
      options.vocab,
    );
    runs.push(await measureRun(options, task, mode, repeat, prediction));
  }
  return runs;
}

async function measureRun(
  { generate, maxTokens }: WanOptions,
  { set, id, kind, promptIds }: WanTask,
  mode: WanMode,
  repeat: number,
  prediction: Uint32Array | null,
): Promise<WanRun> {
  const { topology, drafter } = wanModes[mode];
  const draftLength = drafter === 'none' ? 0 : 'auto';
  const request = { promptIds, maxTokens, prediction, speculation: { drafter, draftLength } } as const;
  const answer = await generate(topology, request);
  const repeating = repetitionPeriod(answer.ids) > 0;
  return { set, prompt: id, kind, mode, repeat, promptTokens: promptIds.length, ...answer, repeating };
}

function turned<T>(items: readonly T[], by: number): T[] {
  return items.map((_, i) => items[(i + by) % items.length]);
}

/** -1 if both are equal. */
function firstDifference(a: readonly number[], b: readonly number[]): number {
  const length = Math.max(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return i;
  return -1;
}
