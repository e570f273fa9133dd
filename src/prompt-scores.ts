/**
 * Log-probabilities of a prompt's tokens, gathered as the tail scores them. After a lost worker some come again, equal
 * to what they were; the promise settles once, when the last has come or the answer has failed.
 */
import type { LogprobRows } from '../shards/logprobs.ts';
import type { Tokenizer } from './text/tokenizer.ts';
import { type RatedToken, ratedTokens } from './token-logprobs.ts';

export interface PromptScores {
  /** One for each token of the prompt; null for the first, which follows nothing. */
  readonly tokens: Promise<readonly (RatedToken | null)[]>;
  /** Log-probabilities from `position` on, in order. */
  add(position: number, rows: LogprobRows): void;
  fail(error: unknown): void;
}

export function gatherScores(tokenizer: Tokenizer, promptIds: readonly number[]): PromptScores {
  const rated: (RatedToken | null)[] = [null];
  const { promise, resolve, reject } = Promise.withResolvers<readonly (RatedToken | null)[]>();
  // Whoever asked may have left; that is no unhandled fault.
  promise.catch(() => {});
  if (promptIds.length === 1) resolve(rated);
  return {
    tokens: promise,
    add(position, rows) {
      const ids = promptIds.slice(position, position + rows.own.length);
      for (const [i, token] of ratedTokens(tokenizer, ids, rows).entries()) rated[position + i] = token;
      if (rated.length === promptIds.length) resolve(rated);
    },
    fail: reject,
  };
}
