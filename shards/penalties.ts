/**
 * Penalties on ids that were said before. repetition (prompt and output): a positive logit is divided, a negative one
 * multiplied; then frequency (times the count) and presence (once) are subtracted for ids of the output, as OpenAI
 * defines them. Counts follow the session's history, so each position inside a verified block sees its own.
 */
import type { LogitStep } from './logit-step.ts';
import type { HistoryFollower } from './token-history.ts';

export interface Penalties {
  /** -2 to 2; 0 does nothing. */
  readonly frequency: number;
  /** -2 to 2; 0 does nothing. */
  readonly presence: number;
  /** Above 0; 1 does nothing. */
  readonly repetition: number;
}

/** The step for a session whose output begins at promptLength; null where nothing is penalised. */
export function penaltyStep(penalties: Penalties, promptLength: number): LogitStep | null {
  const { frequency, presence, repetition } = penalties;
  if (frequency === 0 && presence === 0 && repetition === 1) return null;
  const all = new Map<number, number>();
  const output = new Map<number, number>();
  const follower: HistoryFollower = {
    push(id, position) {
      all.set(id, (all.get(id) ?? 0) + 1);
      if (position >= promptLength) output.set(id, (output.get(id) ?? 0) + 1);
    },
    pop(id, position) {
      takeBack(all, id);
      if (position >= promptLength) takeBack(output, id);
    },
  };
  return {
    until: Infinity,
    follower,
    apply(logits) {
      if (repetition !== 1) {
        for (const id of all.keys()) {
          const logit = logits[id]!;
          logits[id] = logit > 0 ? logit / repetition : logit * repetition;
        }
      }
      for (const [id, count] of output) logits[id]! -= count * frequency + presence;
    },
  };
}

function takeBack(counts: Map<number, number>, id: number): void {
  const count = counts.get(id)! - 1;
  if (count === 0) counts.delete(id);
  else counts.set(id, count);
}
