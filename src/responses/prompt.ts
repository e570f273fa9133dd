/**
 * Items of a conversation → what the model is shown. Calls and their results are written as in every chat here
 * (docs/tools.md). Reasoning is left out: this model neither writes nor reads it.
 */
import type { ChatMessage } from '../completion.ts';
import { callText, type DescribedTool, resultText, toolPrompt } from '../text/tool-messages.ts';
import { readCompaction } from './compaction.ts';
import type { Item, MessageItem } from './items.ts';

/** Functions that the prompt lists. */
export interface PromptTools {
  readonly described: readonly DescribedTool[];
  /** Text is no answer. */
  readonly required: boolean;
}

/** `instructions` and tools come first and count for this response only. */
export function promptOf(
  instructions: string | null,
  items: readonly Item[],
  { described, required }: PromptTools = { described: [], required: false },
): ChatMessage[] {
  const tools = described.length === 0 ? null : toolPrompt(described, required);
  const head = [instructions, tools].filter((text) => text !== null).join('\n\n');
  const messages: ChatMessage[] = head === '' ? [] : [{ role: 'system', content: head }];
  for (const item of items) addItem(messages, item);
  return messages;
}

function addItem(messages: ChatMessage[], item: Item): void {
  switch (item.type) {
    case 'message':
      messages.push({ role: item.role === 'developer' ? 'system' : item.role, content: textOf(item) });
      return;
    case 'function_call': {
      // Text and calls of one answer are one message, as the model said them.
      const last = messages.at(-1);
      const said = last?.role === 'assistant' ? messages.pop()!.content : '';
      const content = [said, callText([item])].filter((text) => text !== '').join('\n');
      messages.push({ role: 'assistant', content });
      return;
    }
    case 'function_call_output':
      messages.push({ role: 'user', content: resultText(item.output) });
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
