/** Log-probabilities in the parallel lists of `/v1/completions`. Offsets count code points, as Python does. */
import type { RatedToken } from '../src/token-logprobs.ts';
import type { TextLogprobsBody } from './completion-schemas.ts';

/** A token, and the text that it adds to the answer; `rated` is null for the first of a prompt. */
export interface PlacedToken {
  readonly name: string;
  readonly text: string;
  readonly rated: RatedToken | null;
}

/** `start`: code points of the answer before the first of these. */
export function textLogprobs(tokens: readonly PlacedToken[], start: number): TextLogprobsBody {
  let offset = start;
  const offsets = tokens.map(({ text }) => {
    const before = offset;
    offset += codePoints(text);
    return before;
  });
  return {
    tokens: tokens.map(({ name }) => name),
    token_logprobs: tokens.map(({ rated }) => rated?.logprob ?? null),
    top_logprobs: tokens.map(({ rated }) => (rated === null ? null : alternatives(rated))),
    text_offset: offsets,
  };
}

/** The likeliest tokens, and the token itself, which may be none of them. */
function alternatives(rated: RatedToken): Record<string, number> {
  return Object.fromEntries([...rated.top, rated].map(({ token, logprob }) => [token, logprob]));
}

export function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}
