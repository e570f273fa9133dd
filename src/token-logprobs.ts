/**
 * Rows of log-probabilities → tokens with their text and bytes, as clients read them. A control token is its name and
 * has no bytes; a token that is no whole text by itself has its bytes spelled `\xNN`, so that no two look alike.
 */
import type { LogprobRows } from '../shards/logprobs.ts';
import type { Tokenizer } from './text/tokenizer.ts';

export interface TokenLogprob {
  readonly token: string;
  readonly logprob: number;
  /** null for a control token. */
  readonly bytes: readonly number[] | null;
}

export interface RatedToken extends TokenLogprob {
  /** The likeliest tokens there, likeliest first; as many as were asked for. */
  readonly top: readonly TokenLogprob[];
}

/** Row i of `rows` is that of ids[i]. */
export function ratedTokens(tokenizer: Tokenizer, ids: ArrayLike<number>, rows: LogprobRows): RatedToken[] {
  const { top, own, topIds, topLogprobs } = rows;
  return Array.from(ids, (id, row) => ({
    ...tokenLogprob(tokenizer, id, own[row]!),
    top: Array.from({ length: top }, (_, i) =>
      tokenLogprob(tokenizer, topIds[row * top + i]!, topLogprobs[row * top + i]!),
    ),
  }));
}

function tokenLogprob(tokenizer: Tokenizer, id: number, logprob: number): TokenLogprob {
  if (id >= tokenizer.vocabSize || tokenizer.isSpecial(id)) {
    return { token: tokenizer.tokens[id] ?? '', logprob, bytes: null };
  }
  const bytes = tokenizer.tokenBytes(id);
  return { token: textOf(bytes), logprob, bytes: [...bytes] };
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function textOf(bytes: Uint8Array): string {
  try {
    return strict.decode(bytes);
  } catch {
    return Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
  }
}
