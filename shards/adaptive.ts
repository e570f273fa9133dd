/**
 * Adaptive verification of one draft token: a reconstruction of DSD (arXiv 2511.11733), whose own rule is not public.
 * Tokens that matter (key) are verified strictly; the others get slack tau. Not lossless: for sampling and without
 * key tokens the law is (1 - tau) target + tau draft, so it lies within tau TV(target, draft) of the target's.
 */
import { normalised, type SparseProbs } from './draft-probs.ts';
import { entropyOf, type TargetLaw } from './target-law.ts';

export interface AdaptiveLimits {
  /** Slack of tokens that are not key, [0, 1); 0 is the lossless path. */
  readonly tau: number;
  /** Key: the target is so many times less sure than the draft (ratio of entropies). */
  readonly lambda1: number;
  /** Key: the target prefers another token by so much probability. */
  readonly lambda2: number;
  /** Key: target and draft have less than this share of their mass in common. */
  readonly lambda3: number;
}

/**
 * Nothing is published about these. tau and lambda3 were chosen on answers that the default model wrote to prompts of its
 * own, none of a benchmark: of all pairs that should keep the perplexity within 2 % on code and on maths they let most
 * through (docs/log.md).
 */
export const adaptiveDefaults: AdaptiveLimits = { tau: 0.2, lambda1: 3, lambda2: 0.5, lambda3: 0.125 };

/** Below this entropy (nats) a draft counts as this unsure: ratios of nothing to nothing say nothing. */
const draftEntropyMin = 0.1;

export interface AdaptiveRow {
  readonly target: TargetLaw;
  readonly drafted: number;
  /** Law of the draft, or null for a point mass: then there is no entropy to compare. */
  readonly pairs: SparseProbs | null;
}

export interface Slack {
  /** Of this token: tau, or 0 if it is key. */
  readonly slack: number;
  /** By how much the law at this position may differ from the target's at most. */
  readonly distortion: number;
}

/** How much of a mismatch may be let through at one row. */
export function slackOf({ target, drafted, pairs }: AdaptiveRow, limits: AdaptiveLimits): Slack {
  const own = target.probOf(drafted);
  const draftProbs = pairs === null ? null : normalised(pairs);
  const common = draftProbs === null ? own : commonMass(target, pairs!.ids, draftProbs);
  const unsure =
    draftProbs !== null &&
    target.entropy() > limits.lambda1 * Math.max(entropyOf(draftProbs), draftEntropyMin);
  // These two do not look at the token, so they hold for the whole position.
  if (unsure || common < limits.lambda3) return { slack: 0, distortion: 0 };
  const distortion = limits.tau * Math.max(0, 1 - common);
  // What a filter, a bias or a mask has taken out is never let in.
  const key = own === 0 || target.largest - own > limits.lambda2;
  return { slack: key ? 0 : limits.tau, distortion };
}

/** Greedy: is the drafted token as good as the likeliest, within the slack? */
export function withinGap({ target, drafted }: AdaptiveRow, slack: number): boolean {
  return slack > 0 && target.largest - target.probOf(drafted) <= slack / (1 - slack);
}

function commonMass(target: TargetLaw, ids: Uint32Array, draftProbs: Float64Array): number {
  return ids.reduce((sum, id, i) => sum + Math.min(target.probOf(id), draftProbs[i]!), 0);
}
