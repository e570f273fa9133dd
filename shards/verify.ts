/**
 * Verification: how much of a draft stands. Pure; the one place where tokens become final. Each row commits the id that
 * the rule in force chooses there (verification.ts); the draft's token is accepted while it is that id. At the first
 * mismatch the row's id is committed (recovered), after a fully right draft one more (bonus), so every verdict commits
 * at least one. By the coupled rule the committed ids are those of plain decoding, whatever the draft (exact for greedy
 * and for sampling with position-keyed noise, arXiv 2408.07978).
 */
import type { LogprobRows } from './logprobs.ts';

export type VerdictKind = 'recovered' | 'bonus';

export interface Verdict {
  /** Draft tokens that stand. */
  readonly accepted: number;
  /** Committed ids [accepted + 1], the last is the row's own; after eos nothing follows, so it may be [accepted]. */
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
  /** The id that row i commits, 0 <= i <= K. Called in order, never beyond the first mismatch. */
  readonly chooseAt: (row: number) => number;
  /** Ids that end the answer (empty when eos is ignored). */
  readonly eosIds: readonly number[];
}

export function verify({ draft, chooseAt, eosIds }: VerifyOptions): Verdict {
  const ids: number[] = [];
  for (const [row, guess] of draft.entries()) {
    const own = chooseAt(row);
    ids.push(own);
    const accepted = own === guess;
    const finished = eosIds.includes(own);
    if (accepted && !finished) continue;
    return {
      accepted: accepted ? row + 1 : row,
      ids: Uint32Array.from(ids),
      kind: accepted ? 'bonus' : 'recovered',
      finished,
    };
  }
  const own = chooseAt(draft.length);
  ids.push(own);
  return {
    accepted: draft.length,
    ids: Uint32Array.from(ids),
    kind: 'bonus',
    finished: eosIds.includes(own),
  };
}
