/**
 * The grammar of an answer as a logit step: ids that it refuses become -Infinity. Prompt ids are not its business.
 * Invariant: never all ids. Where nothing that may come has a logit (the grammar can only end and min_tokens forbids
 * it, or no token spells what must follow), the answer ends; without an end id the row is left alone.
 */
import type { TailOptions } from './engine.ts';
import { type GrammarMatcher, isAllowed } from './grammar.ts';
import type { LogitStep } from './logit-step.ts';

export function grammarStep(
  matcher: GrammarMatcher,
  { promptLength, eosIds }: Pick<TailOptions, 'promptLength' | 'eosIds'>,
): LogitStep {
  return {
    until: Infinity,
    follower: {
      push(id, position) {
        if (position >= promptLength) matcher.accept(id);
      },
      pop(_id, position) {
        if (position >= promptLength) matcher.rollback(1);
      },
    },
    apply(logits) {
      const mask = matcher.mask();
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
