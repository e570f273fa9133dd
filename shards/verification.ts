/**
 * Which token a row commits, by the name of the rule: coupled (the target's own choice, lossless byte for byte),
 * rejection (exact law, needs draft probabilities to accept more), adaptive (lenient, and says by how much).
 * Each asks for a row once, in order, and only while all rows before were accepted.
 */
import { type AdaptiveLimits, slackOf, withinGap } from './adaptive.ts';
import { pointMass, type SparseProbs } from './draft-probs.ts';
import { uniform, uniformStreams } from './noise.ts';
import { chooseByRejection } from './rejection.ts';
import { chooseToken, type Sampling, targetProbs } from './sampler.ts';
import { targetLaw } from './target-law.ts';
import type { Leniency } from './verify.ts';

export interface CoupledVerification {
  readonly mode: 'coupled';
}

export interface RejectionVerification {
  readonly mode: 'rejection';
  /** Pairs that a drafter sends per token, 1 to draftPairsMax. */
  readonly topK: number;
}

export interface AdaptiveVerification extends AdaptiveLimits {
  readonly mode: 'adaptive';
}

export type Verification = CoupledVerification | RejectionVerification | AdaptiveVerification;

/** Pairs that a drafter sends per token for adaptive verification: the tail only measures how alike both laws are. */
const adaptivePairs = 64;

/**
 * Draft probabilities per token that a drafter should send, or null for none: at temperature 0 a draft is a point mass,
 * whatever its drafter thought of other tokens.
 */
export function draftPairsWanted(verification: Verification, sampling: Sampling): number | null {
  if (sampling.temperature <= 0) return null;
  if (verification.mode === 'rejection') return verification.topK;
  return verification.mode === 'adaptive' && verification.tau > 0 ? adaptivePairs : null;
}

export interface VerifiedRow {
  /** [V], after all steps. */
  readonly logits: Float32Array;
  /** Of the token that is chosen. */
  readonly position: number;
  /** The draft's guess, or null behind its end. */
  readonly drafted: number | null;
  /** What the drafter gave the likeliest ids; null for a point mass. */
  readonly pairs: SparseProbs | null;
}

export interface Verifier {
  choose(row: VerifiedRow): number;
  /** What was let through so far; null for rules that let nothing through. */
  leniency(): Leniency | null;
}

/** Is more than the graph's ArgMax needed for greedy rows? */
export function weighsLogits(verification: Verification): boolean {
  return verification.mode === 'adaptive' && verification.tau > 0;
}

/** For the rows of one frame. */
export function createVerifier(verification: Verification, sampling: Sampling): Verifier {
  if (verification.mode === 'rejection' && sampling.temperature > 0) return rejection(sampling);
  if (verification.mode === 'adaptive' && verification.tau > 0) return adaptive(verification, sampling);
  return {
    choose: ({ logits, position }) => chooseToken(logits, sampling, position),
    leniency: () => null,
  };
}

function rejection(sampling: Sampling): Verifier {
  return {
    choose({ logits, position, drafted, pairs }) {
      const draws = {
        accept: uniform(sampling.seed, position, uniformStreams.accept),
        choose: uniform(sampling.seed, position, uniformStreams.choose),
      };
      const draft = drafted === null ? null : { id: drafted, pairs: pairs ?? pointMass(drafted) };
      return chooseByRejection(targetProbs(logits, sampling), draft, draws);
    },
    leniency: () => null,
  };
}

function adaptive(limits: AdaptiveLimits, sampling: Sampling): Verifier {
  const greedy = sampling.temperature <= 0;
  let judged = 0;
  let kept = 0;
  let distortion = 0;
  return {
    choose({ logits, position, drafted, pairs }) {
      const own = chooseToken(logits, sampling, position);
      if (drafted === null) return own;
      const row = { target: targetLaw(logits, sampling), drafted, pairs };
      const slack = slackOf(row, limits);
      judged += 1;
      distortion += slack.distortion;
      if (drafted === own) return own;
      const accepted = greedy
        ? withinGap(row, slack.slack)
        : uniform(sampling.seed, position, uniformStreams.slack) < slack.slack;
      if (accepted) kept += 1;
      return accepted ? drafted : own;
    },
    leniency: () => ({ judged, kept, distortion }),
  };
}
