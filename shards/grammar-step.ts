/**
 * The grammar of an answer as a logit step: ids that it refuses become -Infinity.
 * Invariant: never all ids. Where nothing that may come has a logit (the grammar can only end and min_tokens forbids
 * it, or no token spells what must follow), the answer ends; without an end id the row is left alone.
 */
import { isAllowed } from './grammar.ts';
import type { LogitStep } from './logit-step.ts';

/** Bits by id of what may come as output token number `output`; null behind the end of the grammar. */
export type MaskAt = (output: number) => Int32Array | null;

export function grammarStep(maskAt: MaskAt, eosIds: readonly number[]): LogitStep {
  return {
    until: Infinity,
    follower: null,
    apply(logits, output) {
      const mask = maskAt(output);
      if (mask !== null && mayContinue(logits, mask)) refuse(logits, mask);
      else if (eosIds.length > 0) {
        logits.fill(-Infinity);
        for (const id of eosIds) logits[id] = 0;
      }
    },
  };
}

function mayContinue(logits: Float32Array, mask: Int32Array): boolean {
  return logits.some((logit, id) => logit > -Infinity && isAllowed(mask, id));
}

function refuse(logits: Float32Array, mask: Int32Array): void {
  for (let word = 0; word << 5 < logits.length; word++) {
    if (mask[word] === -1) continue;
    const end = Math.min(logits.length, (word + 1) << 5);
    for (let id = word << 5; id < end; id++) if (!isAllowed(mask, id)) logits[id] = -Infinity;
  }
}
