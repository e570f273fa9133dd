/**
 * A copy that went along with its source until one token differed most likely goes on behind the change: the source has
 * another token there, one more, or one less. A search for what was said last does not find the place, since it looks
 * for the changed token itself: a round or two would be spent on every change.
 */
import { boundary, type NgramChains } from './ngram-chains.ts';

/** Tokens of the text since the change: beyond, the source is left for good. */
const changedTokensMax = 8;

/** How far from where it is expected the last token is looked for in the source. */
const shiftMax = 4;

/** A copy of which fewer tokens agreed, those before it included, is no place to go back to. */
const agreedTokensMin = 6;

/** Where something was copied from. Positions are counted from the very first id, those forgotten included. */
export interface CopySource {
  readonly chains: NgramChains;
  /** Of the first copied token. */
  readonly from: number;
  /** Length of the text when it was copied. */
  readonly textLength: number;
  /** Tokens before it that source and text agreed on. */
  readonly agreed: number;
}

/** Is the first copied token right, given what the text says since? */
export function holds({ chains, from }: CopySource, since: ArrayLike<number>): boolean {
  return since.length > 0 && since[0] === chains.at(from - chains.forgotten);
}

/**
 * Where the copy goes on (as `from`), given what the text says since; null while it holds, and where it is left.
 */
export function behindChange({ chains, from, agreed }: CopySource, since: ArrayLike<number>): number | null {
  const at = (position: number): number => chains.at(position - chains.forgotten);
  let same = 0;
  while (same < since.length && since[same] === at(from + same)) same += 1;
  const changed = since.length - same;
  if (changed === 0 || changed > changedTokensMax || agreed + same < agreedTokensMin) return null;
  const expected = from + since.length - 1;
  const last = since[since.length - 1]!;
  for (let shift = 0; shift <= shiftMax; shift++) {
    for (const place of [expected + shift, expected - shift]) if (at(place) === last) return place + 1;
  }
  return changed > 1 || at(expected + 1) === boundary ? null : expected + 1;
}
