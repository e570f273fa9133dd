/**
 * Items of a conversation → what the model is shown. Calls and their results are written as in every chat here
 * (docs/tools.md). Reasoning is left out: this model neither writes nor reads it.
 */
import type { ChatMessage } from '../completion.ts';
import { type PromptTools, withTools } from '../text/tool-messages.ts';
import { readCompaction } from './compaction.ts';
import type { Item, MessageItem } from './items.ts';

/** `instructions` and tools come first and count for this response only. */
export function promptOf(
  instructions: string | null,
  items: readonly Item[],
  tools: PromptTools = { described: [], required: false },
): readonly ChatMessage[] {
  const said: ChatMessage[] = [];
  for (const item of items) addItem(said, item);
  const head: ChatMessage = { role: 'system', content: instructions ?? '' };
  // The items' own system messages stay where they are: tools are told with the instructions.
  if (tools.described.length > 0) return [...withTools([head], tools), ...said];
  return head.content === '' ? said : [head, ...said];
}

function addItem(messages: ChatMessage[], item: Item): void {
  switch (item.type) {
    case 'message':
      messages.push({ role: item.role === 'developer' ? 'system' : item.role, content: textOf(item) });
      return;
    case 'function_call': {
      // Text and calls of one answer are one message, as the model said them.
      const last = messages.at(-1);
      const said: Partial<ChatMessage> = last?.role === 'assistant' ? messages.pop()! : {};
      const { name, arguments: given } = item;
      const calls = [...(said.calls ?? []), { name, arguments: given }];
      messages.push({ role: 'assistant', content: said.content ?? '', calls });
      return;
    }
    case 'function_call_output':
      messages.push({ role: 'tool', content: item.output });
      return;
    case 'compaction': {
      const summary = readCompaction(item.encrypted_content) ?? '';
      messages.push({ role: 'system', content: `Summary of the conversation so far: ${summary}` });
    }
  }
}

/** All text of a message; an assistant's refusal is what it said. */
function textOf({ content }: MessageItem): string {
  return content.map((part) => (part.type === 'refusal' ? part.refusal : part.text)).join('');
}
