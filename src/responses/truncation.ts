/**
 * `truncation: auto`: a conversation that does not fit loses its oldest turns. Whole turns, from one message of the user
 * to the next, so that the model never sees an answer without its question; what the system said stays.
 */
import type { ChatMessage } from '../completion.ts';

/** Without max_output_tokens so much of the context is kept for the answer, or a quarter of a small one. */
const answerTokensUsual = 256;

export interface TruncationOptions {
  readonly contextLength: number;
  readonly maxTokens: number | null;
  /** Tokens of the prompt; Infinity where they cannot fit anyway. */
  readonly count: (messages: readonly ChatMessage[]) => number;
}

/** The longest end of the conversation that fits; the last turn even where it does not. */
export function truncateOldest(
  messages: readonly ChatMessage[],
  { contextLength, maxTokens, count }: TruncationOptions,
): readonly ChatMessage[] {
  const tokensMax = contextLength - (maxTokens ?? Math.min(answerTokensUsual, contextLength >> 2));
  if (count(messages) <= tokensMax) return messages;
  const turns = [...messages.keys()].filter((index) => index > 0 && messages[index]!.role === 'user');
  const from = (index: number): readonly ChatMessage[] =>
    messages.filter(({ role }, at) => at >= index || role === 'system');
  // Fewer turns are fewer tokens, so the first that fits is found by halving.
  let [low, high] = [0, turns.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (count(from(turns[middle]!)) <= tokensMax) high = middle;
    else low = middle + 1;
  }
  return turns.length === 0 ? messages : from(turns[low]!);
}
