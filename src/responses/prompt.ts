/** Items of a conversation → what the model is shown. Reasoning is left out: this model neither writes nor reads it. */
import type { ChatMessage } from '../completion.ts';
import { readCompaction } from './compaction.ts';
import type { Item, MessageItem } from './items.ts';

/** `instructions` come first and count for this response only. */
export function promptOf(instructions: string | null, items: readonly Item[]): ChatMessage[] {
  const head: ChatMessage[] = instructions === null ? [] : [{ role: 'system', content: instructions }];
  return [...head, ...items.flatMap(messagesOf)];
}

function messagesOf(item: Item): ChatMessage[] {
  switch (item.type) {
    case 'message':
      return [{ role: item.role === 'developer' ? 'system' : item.role, content: textOf(item) }];
    case 'compaction':
      return [
        {
          role: 'system',
          content: `Summary of the conversation so far: ${readCompaction(item.encrypted_content) ?? ''}`,
        },
      ];
    default:
      return [];
  }
}

/** All text of a message; an assistant's refusal is what it said. */
export function textOf({ content }: MessageItem): string {
  return content.map((part) => (part.type === 'refusal' ? part.refusal : part.text)).join('');
}
