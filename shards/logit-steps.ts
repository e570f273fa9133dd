/**
 * What happens to a row of logits before a token is chosen: a short list of steps in a fixed order (penalties,
 * logit_bias, then what masks ids: min_tokens and the grammar), each for the token that follows the ids told so far.
 * A step that depends on those ids follows the history of its session, so drafts, rollback and failover need no rule
 * of their own.
 * Invariant: what a step does depends on the session's options and the ids before the token alone.
 */
import type { LogitBias, TailOptions } from './engine.ts';
import { grammarStep, type MaskAt } from './grammar-step.ts';
import type { LogitStep } from './logit-step.ts';
import { penaltyStep } from './penalties.ts';

/** The steps that a session's options ask for, in the order in which they apply; `maskAt` is its grammar's. */
export function logitSteps(options: TailOptions, maskAt: MaskAt | null = null): LogitStep[] {
  const { penalties, logitBias = [], minTokens, promptLength } = options;
  const steps: LogitStep[] = [];
  const penalty = penalties === undefined ? null : penaltyStep(penalties, promptLength);
  if (penalty !== null) steps.push(penalty);
  if (logitBias.length > 0) steps.push(biasStep(logitBias));
  if (minTokens > 0) steps.push(endMask(options));
  if (maskAt !== null) steps.push(grammarStep(maskAt, options.eosIds));
  return steps;
}

/** Adds to the logits of single ids; ids outside the vocabulary have none. */
function biasStep(biases: readonly LogitBias[]): LogitStep {
  return {
    until: Infinity,
    follower: null,
    apply(logits) {
      for (const { id, bias } of biases) if (id < logits.length) logits[id]! += bias;
    },
  };
}

/** No end of the answer below min_tokens. */
function endMask({ minTokens, eosIds }: TailOptions): LogitStep {
  return {
    until: minTokens,
    follower: null,
    apply(logits) {
      for (const id of eosIds) logits[id] = -Infinity;
    },
  };
}
