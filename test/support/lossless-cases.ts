/**
 * What must not change a single id, as dimensions: their full product, and a small covering array that holds every
 * pair of values at least once (greedy construction).
 */
import type { Sampling } from '../../shards/sampler.ts';
import { greedy } from '../../shards/sampler.ts';
import type { Verification } from '../../shards/verification.ts';
import type { DraftPolicy } from '../../src/drafting/drafter.ts';
import { seededRandom } from './random-blocks.ts';

export const dimensions = {
  sampling: ['greedy', 'sampled'],
  drafter: ['none', 'ngram', 'lm', 'head', 'auto'],
  verification: ['coupled', 'rejection', 'adaptive'],
  draftLength: [0, 1, 4, 8, 'auto'],
  rounds: ['sync', 'async'],
  preDrafting: ['on', 'off'],
  prediction: ['absent', 'right', 'wrong', 'empty'],
  workers: [1, 2, 3],
  topology: ['chain', 'star'],
  together: [1, 4, 8],
  cache: ['as it is', 'small', 'large'],
} as const;

type Dimensions = typeof dimensions;
export type LosslessCase = { readonly [K in keyof Dimensions]: Dimensions[K][number] };

/** What a cluster has to be started anew for. */
export type ClusterCase = Pick<LosslessCase, 'workers' | 'topology' | 'cache'>;

export function policyOf({ drafter, draftLength, rounds, preDrafting }: LosslessCase): DraftPolicy {
  return { drafter, draftLength, rounds, preDrafting: preDrafting === 'on' };
}

export function samplingOf({ sampling }: Pick<LosslessCase, 'sampling'>): Sampling {
  return sampling === 'greedy' ? greedy : { ...greedy, temperature: 0.8, seed: { low: 20_251, high: 1124 } };
}

/** Adaptive with no slack, and otherwise open to everything. */
export function verificationOf({ verification }: Pick<LosslessCase, 'verification'>): Verification {
  switch (verification) {
    case 'coupled':
      return { mode: 'coupled' };
    case 'rejection':
      return { mode: 'rejection', topK: 8 };
    case 'adaptive':
      return { mode: 'adaptive', tau: 0, lambda1: 1e6, lambda2: 1, lambda3: 0 };
  }
}

/** The prediction that a client would send along with an answer of these ids. */
export function predictionOf(kind: LosslessCase['prediction'], answer: readonly number[]): number[] | null {
  switch (kind) {
    case 'absent':
      return null;
    case 'right':
      return [...answer];
    case 'wrong':
      // Right pieces in a wrong order: drafts start well and then fail.
      return answer.length < 4
        ? [...answer].reverse()
        : [...answer.slice(answer.length / 2), ...answer.slice(0, 3)];
    case 'empty':
      return [];
  }
}

/** Every combination, cluster settings outermost. */
export function fullProduct(fixed: Partial<LosslessCase> = {}): LosslessCase[] {
  const keys = [
    'cache',
    'workers',
    'topology',
    'sampling',
    'drafter',
    'verification',
    'draftLength',
    'rounds',
    'preDrafting',
    'prediction',
    'together',
  ] as const;
  let cases: Partial<LosslessCase>[] = [{}];
  for (const key of keys) {
    const values = key in fixed ? [fixed[key]] : dimensions[key];
    cases = cases.flatMap((part) => values.map((value) => ({ ...part, [key]: value })));
  }
  return (cases as LosslessCase[]).filter(isDistinct);
}

/**
 * Rejection sampling draws anew, so it says the same with temperature 0 alone. One of each stands for cases that cannot
 * differ: without a drafter neither length nor prediction mean anything, copies
 * are never prepared, a local model does not read predictions, and `auto` is the others but for the choice between them.
 */
function isDistinct(value: LosslessCase): boolean {
  const { sampling, drafter, verification, draftLength, prediction, rounds, preDrafting } = value;
  if (verification === 'rejection' && sampling === 'sampled') return false;
  if ((drafter === 'none' || drafter === 'ngram' || draftLength === 0) && preDrafting === 'off') return false;
  if (drafter === 'none') return draftLength === 'auto' && prediction === 'absent' && rounds === 'sync';
  if (drafter === 'lm' || drafter === 'head') return prediction === 'absent';
  return drafter === 'ngram' || draftLength === 'auto';
}

/**
 * Fewer cases: of those that differ in the given dimensions alone, `kept`, drawn anew for each group by a fixed seed, so
 * that which of them stay goes along with no other dimension.
 */
export function alternate(
  cases: readonly LosslessCase[],
  keys: readonly (keyof LosslessCase)[],
  kept: number,
): LosslessCase[] {
  const groups = new Map<string, LosslessCase[]>();
  for (const value of cases) {
    const rest = Object.entries(value).filter(([key]) => !keys.includes(key as keyof LosslessCase));
    const key = JSON.stringify(rest);
    groups.set(key, [...(groups.get(key) ?? []), value]);
  }
  const random = seededRandom(1);
  return [...groups.values()].flatMap((group) => {
    const from = Math.floor(random() * group.length);
    return Array.from({ length: Math.min(kept, group.length) }, (_, j) => group[(from + j) % group.length]!);
  });
}

/** A few cases that hold every pair of values of the given dimensions. */
export function pairwise(candidates: readonly LosslessCase[]): LosslessCase[] {
  /** Pairs by number: there are few of them, and they are asked for again and again. */
  const numbers = new Map<string, number>();
  const numberOf = (pair: string): number => {
    const number = numbers.get(pair) ?? numbers.size;
    numbers.set(pair, number);
    return number;
  };
  const pairsOf = (value: LosslessCase): number[] => {
    const entries = Object.entries(value).map(([key, v]) => `${key}=${v}`);
    return entries.flatMap((a, i) => entries.slice(i + 1).map((b) => numberOf(`${a}&${b}`)));
  };
  const pairs = candidates.map(pairsOf);
  const wanted = new Set(pairs.flat());
  const chosen: LosslessCase[] = [];
  while (wanted.size > 0) {
    const gains = pairs.map((ofCase) => ofCase.reduce((gain, pair) => gain + Number(wanted.has(pair)), 0));
    const best = gains.reduce((most, gain, i) => (gain > gains[most]! ? i : most), 0);
    chosen.push(candidates[best]!);
    for (const pair of pairs[best]!) wanted.delete(pair);
  }
  return chosen;
}

/** Cases by the cluster that they run on, so that each is started once. */
export function byCluster(cases: readonly LosslessCase[]): [ClusterCase, LosslessCase[]][] {
  const groups = new Map<string, [ClusterCase, LosslessCase[]]>();
  for (const value of cases) {
    const { workers, topology, cache } = value;
    const key = `${workers} ${topology} ${cache}`;
    const group = groups.get(key) ?? [{ workers, topology, cache }, []];
    group[1].push(value);
    groups.set(key, group);
  }
  return [...groups.values()];
}

export function describeCase(value: LosslessCase): string {
  return Object.entries(value)
    .map(([key, v]) => `${key} ${v}`)
    .join(', ');
}
