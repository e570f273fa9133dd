/**
 * Counter-based Gumbel noise: one value per (seed, position, token), the same on every machine and in every
 * order of evaluation. That is what makes sampled text independent of drafts, draft lengths and failover.
 * Idea: gumbel-max coupling, arXiv 2408.07978; mixing function: the 32-bit finaliser of MurmurHash3 (public domain).
 *
 * A noise value is made of 32 bits: gumbel = -log(-log1p(-(w + 0.5) / 2^32)), w uniform, within [-3.14, 22.88].
 * Small w means large noise, and gumbel > x implies w < 2^32 * e^-x, so clz32(w) bounds the noise without a logarithm.
 */

/** A 64-bit seed as two unsigned 32-bit halves. */
export interface Seed {
  readonly low: number;
  readonly high: number;
}

/** Largest value that the noise can take. */
export const gumbelMax = 22.88;

/** Bits of log2: clz32(w) >= x * this - 1 is necessary for gumbel(w) > x. */
export const bitsPerNat = Math.LOG2E;

function mix(value: number): number {
  let h = value;
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Key of all noise at one position of one sequence. */
export function positionKey(seed: Seed, position: number): number {
  const low = mix((seed.low + 0x9e3779b9) | 0);
  const both = mix(low ^ Math.imul(seed.high + 1, 0x7feb352d));
  return mix(both ^ Math.imul(position + 1, 0x846ca68b));
}

/** The 32 random bits of one token at one position. */
export function tokenBits(key: number, token: number): number {
  return mix(key ^ Math.imul(token + 1, 0x9e3779b1));
}

/** Standard Gumbel variate of 32 random bits. */
export function gumbel(bits: number): number {
  return -Math.log(-Math.log1p(-(bits + 0.5) / 4294967296));
}

/** Decisions at a position that must not depend on one another, nor on the noise that drew a draft. */
export const uniformStreams = { accept: 0, choose: 1, slack: 2 } as const;

/** Uniform in (0, 1) for decisions beside the token noise (keyed apart by `stream`). */
export function uniform(seed: Seed, position: number, stream: number): number {
  return (mix(positionKey(seed, position) ^ Math.imul(stream + 1, 0x27d4eb2f)) + 0.5) / 4294967296;
}

/** Seed of choice c of n: choice 0 is the seed itself, so n = 1 and n > 1 share their first answer. */
export function choiceSeed(seed: Seed, choice: number): Seed {
  if (choice === 0) return seed;
  return {
    low: mix(seed.low ^ Math.imul(choice, 0x9e3779b1)),
    high: mix(seed.high ^ Math.imul(choice, 0x85ebca6b)),
  };
}
