/**
 * Does an answer fit the key/value caches of the ring at all? The stage with the least room decides, empty but for this
 * session. Told before anything runs: a session that can never fit would fail in the middle of its answer. Pure.
 */
import { GatewayError } from './errors.ts';

export interface KvFit {
  readonly promptTokens: number;
  /** What the context leaves room for, or fewer. */
  readonly maxTokens: number;
  /** Did the client ask for so many? Else the answer is cut to what fits. */
  readonly asked: boolean;
  /** Positions that every stage has room for. */
  readonly positions: number;
  /** The prompt's name in errors. */
  readonly promptParam: string;
}

/** How many tokens the answer may have. Throws context_length_exceeded. */
export function fitCaches({ promptTokens, maxTokens, asked, positions, promptParam }: KvFit): number {
  if (rowsOf(promptTokens, maxTokens) <= positions) return maxTokens;
  // The last token of an answer has no row.
  const most = positions - promptTokens + 1;
  if (most >= 1 && !asked) return most;
  const room = `A worker of this cluster has room for the keys and values of ${positions} tokens.`;
  const operator = 'or give the workers more memory with FORETOKEN_KV_BYTES.';
  if (most < 1) {
    throw new GatewayError(
      'context_length_exceeded',
      `${room} However, your prompt has ${promptTokens} tokens. Please shorten it, ${operator}`,
      { param: promptParam },
    );
  }
  throw new GatewayError(
    'context_length_exceeded',
    `${room} However, you asked for ${rowsOf(promptTokens, maxTokens)} (${promptTokens} in the prompt, ${maxTokens} in the completion less the last). Please ask for at most ${most} in the completion, ${operator}`,
    { param: 'max_tokens' },
  );
}

/** Rows that a session leaves in the caches when it ends at its limit. */
function rowsOf(promptTokens: number, maxTokens: number): number {
  return promptTokens + Math.max(0, maxTokens - 1);
}
