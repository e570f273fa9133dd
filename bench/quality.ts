/**
 * How good outputs of a lossy mode are beside those of the lossless one: agreement token by token, perplexity under the
 * target, and right answers where the set knows them. Pure.
 */
import { firstDifference } from './mode-runs.ts';
import { mean, sum } from './statistics.ts';

export interface JudgedOutput {
  readonly ids: readonly number[];
  /** What lossless decoding said to the same prompt. */
  readonly losslessIds: readonly number[];
  readonly text: string;
  /** The number that the task asks for; NaN or left out where none is known. */
  readonly answer?: number;
  /** Log-probability of each id under the target. */
  readonly scores: readonly number[];
}

export interface Quality {
  /** Outputs equal to the lossless ones, share. */
  readonly equal: number;
  /** Tokens before the first difference, share of the lossless output, mean. */
  readonly samePrefix: number;
  /** exp(-mean log-probability) over all tokens. */
  readonly perplexity: number;
  /** Share of right answers, and how many tasks have one. */
  readonly right: number;
  readonly answered: number;
}

export function qualityOf(outputs: readonly JudgedOutput[]): Quality {
  const sames = outputs.map(({ ids, losslessIds }) => {
    const at = firstDifference(losslessIds, ids);
    return at === -1 ? 1 : at / Math.max(1, losslessIds.length);
  });
  const scores = outputs.flatMap((output) => output.scores);
  const tasks = outputs.filter(({ answer }) => answer !== undefined && !Number.isNaN(answer));
  return {
    equal: mean(sames.map((same) => (same === 1 ? 1 : 0))),
    samePrefix: mean(sames),
    perplexity: Math.exp(-sum(scores) / scores.length),
    right: mean(tasks.map(({ text, answer }) => (lastNumber(text) === answer ? 1 : 0))),
    answered: tasks.length,
  };
}

/** The last number of a text, thousands separated or not; null without one. */
export function lastNumber(text: string): number | null {
  const numbers = text.match(/-?\d[\d,]*(?:\.\d+)?/g);
  return numbers === null ? null : Number(numbers[numbers.length - 1].replaceAll(',', ''));
}
