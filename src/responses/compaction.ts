/**
 * Compaction: what stands for a conversation that is not sent any more. A model's summary, sealed into an item whose
 * content only we read. It keeps nothing secret (the client wrote or read all of it), it is only opaque, as at OpenAI.
 */
import type { ChatMessage } from '../completion.ts';
import type { CompactionItem } from './items.ts';

/** First characters of the content; a later format will have others. */
const seal = 'ftk1.';
/** Enough for the facts of a long conversation, and a fraction of any context. */
export const summaryTokensMax = 512;

/** The message that asks for the summary; it follows the conversation. */
export const summaryRequest: ChatMessage = {
  role: 'user',
  content:
    'Summarise the conversation so far for somebody who has to continue it: what was asked, what was decided, names, ' +
    'numbers and open questions. Write only the summary.',
};

export function compactionItem(id: string, summary: string): CompactionItem {
  return {
    id,
    type: 'compaction',
    encrypted_content: seal + Buffer.from(summary, 'utf8').toString('base64url'),
  };
}

/** The summary, or null when the content was not made here. */
export function readCompaction(content: string): string | null {
  if (!content.startsWith(seal)) return null;
  return Buffer.from(content.slice(seal.length), 'base64url').toString('utf8');
}
