/**
 * The target's own choice at one position: the token that plain decoding would commit there. A pure function of
 * (logits, sampling, position), so verification can ask it in any order and failover can ask it again.
 *
 * Order per position, behind the steps of logit-steps.ts: temperature → top_k → top_p on the renormalised rest → min_p → choose.
 * temperature 0 takes the argmax; else argmax_v(logit_v / T + gumbel(seed, position, v)) over the kept ids, an exact
 * sample of the filtered distribution (gumbel-max). Ties go to the lower id everywhere.
 */
import { bitsPerNat, gumbel, gumbelMax, positionKey, type Seed, tokenBits } from './noise.ts';

export interface Sampling {
  /** 0 is greedy. */
  readonly temperature: number;
  /** Keep the k most likely ids; 0 keeps all. */
  readonly topK: number;
  /** Keep the smallest set of ids whose probability reaches this; 1 keeps all. */
  readonly topP: number;
  /** Keep ids with at least this share of the most likely one's probability; 0 keeps all. */
  readonly minP: number;
  readonly seed: Seed;
}

export const greedy: Sampling = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: { low: 0, high: 0 } };

/** Does the choice need the row of logits, or is the graph's ArgMax enough? */
export function needsLogits(sampling: Sampling): boolean {
  return sampling.temperature > 0;
}

/** May top_k, top_p or min_p take out any of `vocab` ids? */
export function isFiltered({ topK, topP, minP }: Sampling, vocab: number): boolean {
  return (topK > 0 && topK < vocab) || topP < 1 || minP > 0;
}

/** logits [V] → the chosen id. An id whose logit is -Infinity is never chosen while there is another. */
export function chooseToken(row: Float32Array, sampling: Sampling, position: number): number {
  if (sampling.temperature <= 0) return argmax(row);
  const key = positionKey(sampling.seed, position);
  const kept = keptIds(row, sampling);
  return kept === null
    ? perturbedArgmaxAll(row, sampling.temperature, key)
    : perturbedArgmaxOf(row, sampling.temperature, key, kept);
}

/** Law that chooseToken draws from: probabilities [V], zero for ids that a filter has taken out. Sums to 1. */
export function targetProbs(row: Float32Array, sampling: Sampling): Float64Array {
  if (sampling.temperature <= 0) {
    const certain = new Float64Array(row.length);
    certain[argmax(row)] = 1;
    return certain;
  }
  const weights = relativeWeights(row, sampling.temperature);
  const kept = keptIds(row, sampling);
  if (kept === null) return divided(weights, totalMass(weights));
  const probs = new Float64Array(row.length);
  for (const id of kept) probs[id] = weights[id]!;
  return divided(probs, massOf(kept, weights));
}

/** The model's own law [V]: temperature 1, no filter. */
export function softmax(row: Float32Array): Float64Array {
  const weights = relativeWeights(row, 1);
  return divided(weights, totalMass(weights));
}

function divided(weights: Float64Array, by: number): Float64Array {
  for (let id = 0; id < weights.length; id++) weights[id]! /= by;
  return weights;
}

export function argmax(row: Float32Array): number {
  let best = 0;
  for (let id = 1; id < row.length; id++) if (row[id]! > row[best]!) best = id;
  return best;
}

/**
 * argmax of logit / T + noise over all V ids. Equal to brute force, at about two logarithms a row instead of V
 * (the clz32 bound of noise.ts): 0.2-0.5 ms for V = 49,152.
 */
function perturbedArgmaxAll(row: Float32Array, temperature: number, key: number): number {
  const start = argmax(row);
  let bestId = start;
  let best = row[start]! / temperature + gumbel(tokenBits(key, start));
  for (let id = 0; id < row.length; id++) {
    const scaled = row[id]! / temperature;
    const needed = best - scaled;
    if (needed > gumbelMax || id === start) continue;
    const bits = tokenBits(key, id);
    // 0.001 covers the rounding of the bound itself; a false pass only costs two logarithms.
    if (Math.clz32(bits) < needed * bitsPerNat - 1.001) continue;
    const value = scaled + gumbel(bits);
    if (value > best || (value === best && id < bestId)) {
      best = value;
      bestId = id;
    }
  }
  return bestId;
}

function perturbedArgmaxOf(row: Float32Array, temperature: number, key: number, ids: Uint32Array): number {
  let bestId = ids[0]!;
  let best = -Infinity;
  for (const id of ids) {
    const value = row[id]! / temperature + gumbel(tokenBits(key, id));
    if (value > best || (value === best && id < bestId)) {
      best = value;
      bestId = id;
    }
  }
  return bestId;
}

/** Ids that survive top_k, top_p and min_p, most likely first; null if no filter is active. */
function keptIds(row: Float32Array, sampling: Sampling): Uint32Array | null {
  if (!isFiltered(sampling, row.length)) return null;
  const { topK, topP, minP, temperature } = sampling;
  const limit = topK > 0 ? Math.min(topK, row.length) : row.length;
  const weights = relativeWeights(row, temperature);
  let ids = likeliest(weights, { limit, topP, minP });
  if (topP < 1) ids = ids.subarray(0, nucleusLength(ids, weights, topP, limit < row.length));
  if (minP > 0) {
    let kept = ids.length;
    while (kept > 1 && weights[ids[kept - 1]!]! < minP) kept--;
    ids = ids.subarray(0, kept);
  }
  return ids;
}

/** exp((logit - largest) / T) [V]: probabilities up to a common factor, the largest is 1. */
function relativeWeights(row: Float32Array, temperature: number): Float64Array {
  const peak = row[argmax(row)]!;
  const weights = new Float64Array(row.length);
  for (let id = 0; id < row.length; id++) weights[id] = Math.exp((row[id]! - peak) / temperature);
  return weights;
}

/** How many of `ids` (descending) it takes to hold the share topP; at least one. */
function nucleusLength(ids: Uint32Array, weights: Float64Array, topP: number, ofThese: boolean): number {
  const target = topP * (ofThese ? massOf(ids, weights) : totalMass(weights));
  let sum = 0;
  let kept = 0;
  while (kept < ids.length && (kept === 0 || sum < target)) sum += weights[ids[kept++]!]!;
  return kept;
}

/**
 * A prefix of all ids by weight descending (ties: lower id) that is long enough for the filters. Sorting all V ids
 * costs 15 ms a row, so the cut-off starts high and falls until what the filters need is certainly inside.
 */
function likeliest(weights: Float64Array, need: { limit: number; topP: number; minP: number }): Uint32Array {
  const byTopK = need.limit < weights.length;
  let ids: Uint32Array = new Uint32Array(0);
  // At cut-off 0 every id is inside.
  for (const cutoff of [1e-3, 1e-6, 1e-12, 0]) {
    ids = idsAbove(weights, cutoff);
    const enough =
      (byTopK && ids.length >= need.limit) ||
      (need.minP >= cutoff && need.topP >= 1) ||
      (!byTopK && need.topP < 1 && massOf(ids, weights) >= need.topP * totalMass(weights));
    if (enough) break;
  }
  ids.sort((a, b) => weights[b]! - weights[a]! || a - b);
  return ids.subarray(0, need.limit);
}

function idsAbove(weights: Float64Array, cutoff: number): Uint32Array {
  const ids = new Uint32Array(weights.length);
  let n = 0;
  for (let id = 0; id < weights.length; id++) if (weights[id]! >= cutoff) ids[n++] = id;
  return ids.subarray(0, n);
}

function massOf(ids: Uint32Array, weights: Float64Array): number {
  let mass = 0;
  for (const id of ids) mass += weights[id]!;
  return mass;
}

function totalMass(weights: Float64Array): number {
  let mass = 0;
  for (const weight of weights) mass += weight;
  return mass;
}
