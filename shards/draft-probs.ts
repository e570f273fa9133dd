/**
 * Sparse draft probabilities (TK-SLT, arXiv 2509.04576): the K likeliest ids of a drafter at one position, their
 * probabilities as f16. Both ends renormalise the same pairs in the same order in f64, and the drafter draws from
 * exactly that; so truncation and rounding cost acceptance, never the law of the output.
 */
import { gumbel, positionKey, type Seed, tokenBits } from './noise.ts';

/** Pairs of one draft token: beyond 320 the published acceptance gains nothing. */
export const draftPairsMax = 320;
/** Draft tokens of one frame that may carry probabilities: the longest draft there is. */
export const draftProbsRowsMax = 64;

/** What a drafter gave the likeliest ids at one position. */
export interface SparseProbs {
  /** Distinct ids, likeliest first; at least one, at most draftPairsMax. */
  readonly ids: Uint32Array;
  /** f16 values in (0, 1], not yet renormalised. */
  readonly probs: Float32Array;
}

/** All mass on one id: what a draft without probabilities says. */
export function pointMass(id: number): SparseProbs {
  return { ids: Uint32Array.of(id), probs: Float32Array.of(1) };
}

/** The id that the position's noise draws from these pairs: with the noise of the target, so that both agree often. */
export function drawSparse(pairs: SparseProbs, seed: Seed, position: number): number {
  const key = positionKey(seed, position);
  let bestId = pairs.ids[0]!;
  let best = -Infinity;
  for (const [i, prob] of normalised(pairs).entries()) {
    const id = pairs.ids[i]!;
    const value = Math.log(prob) + gumbel(tokenBits(key, id));
    if (value > best || (value === best && id < bestId)) {
      best = value;
      bestId = id;
    }
  }
  return bestId;
}

/** Probabilities that sum to 1, in the order of the pairs. */
export function normalised({ probs }: SparseProbs): Float64Array {
  let sum = 0;
  for (const prob of probs) sum += prob;
  return Float64Array.from(probs, (prob) => prob / sum);
}

/**
 * The `pairs` likeliest of probabilities [V] (ties: lower id), rounded to f16; what rounds to zero is dropped. If
 * everything does, the likeliest id has all.
 */
export function truncated(probs: Float64Array, pairs: number): SparseProbs {
  const order = likeliestIds(probs, Math.min(pairs, draftPairsMax));
  const rounded = order.map((id) => Math.f16round(probs[id]!));
  const kept = rounded.filter((prob) => prob > 0).length;
  if (kept === 0) return pointMass(order[0]!);
  return { ids: Uint32Array.from(order.slice(0, kept)), probs: Float32Array.from(rounded.slice(0, kept)) };
}

/** Ids of the `count` largest, largest first. One scan with a threshold: sorting a vocabulary takes 15 ms. */
function likeliestIds(probs: Float64Array, count: number): number[] {
  const before = (a: number, b: number): number => probs[b]! - probs[a]! || a - b;
  let best: number[] = [];
  let threshold = -1;
  for (let id = 0; id < probs.length; id++) {
    // A later id of equal probability comes behind those that are held.
    if (probs[id]! <= threshold) continue;
    best.push(id);
    // Sorted only when twice as many as wanted have gathered: each id is moved a few times at most.
    if (best.length < 2 * count) continue;
    best = best.sort(before).slice(0, count);
    threshold = probs[best.at(-1)!]!;
  }
  return best.sort(before).slice(0, count);
}
