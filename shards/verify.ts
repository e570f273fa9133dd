/**
 * Verification: how much of a draft the target would have said itself. Pure; the one place where tokens become
 * final. Accept while the draft's token is the target's own choice; at the first mismatch commit the target's token
 * (recovered), after a fully right draft commit one more (bonus). So every verdict commits at least one token, and
 * the committed ids are those of plain decoding, whatever the draft (coupled verification; exact for greedy and for
 * sampling with position-keyed noise, arXiv 2408.07978).
 */
import type { LogprobRows } from './logprobs.ts';

export type VerdictKind = 'recovered' | 'bonus';

export interface Verdict {
  /** Draft tokens that were right. */
  readonly accepted: number;
  /** Committed ids [accepted + 1], the last is the target's own; after eos nothing follows, so it may be [accepted]. */
  readonly ids: Uint32Array;
  readonly kind: VerdictKind;
  /** True if the last committed id ends the answer. */
  readonly finished: boolean;
  /** One row for each committed id, if the session asked for them. */
  readonly logprobs?: LogprobRows;
  /** What adaptive verification let through, if the session asked for it. */
  readonly leniency?: Leniency;
}

/** How far adaptive verification strayed from the target. */
export interface Leniency {
  /** Draft tokens that it looked at. */
  readonly judged: number;
  /** Of them those kept though the target would have said another. */
  readonly kept: number;
  /** Upper bound of the sum of total-variation distances to the target's law, at most `judged`. */
  readonly distortion: number;
}

export interface VerifyOptions {
  /** Draft ids [K]; draft[i] is a guess for the token that row i yields. */
  readonly draft: Uint32Array;
  /** The target's own token for row i, 0 <= i <= K. Called in order, never beyond the first mismatch. */
  readonly chooseAt: (row: number) => number;
  /** Ids that end the answer (empty when eos is ignored). */
  readonly eosIds: readonly number[];
}

export function verify({ draft, chooseAt, eosIds }: VerifyOptions): Verdict {
  const ids: number[] = [];
  // Ends at the row behind the draft at the latest: there is nothing to accept.
  for (let row = 0; ; row++) {
    const own = chooseAt(row);
    ids.push(own);
    const accepted = row < draft.length && own === draft[row];
    const finished = eosIds.includes(own);
    if (!accepted || finished) {
      return {
        accepted: accepted ? row + 1 : row,
        ids: Uint32Array.from(ids),
        kind: row < draft.length && !accepted ? 'recovered' : 'bonus',
        finished,
      };
    }
  }
}
