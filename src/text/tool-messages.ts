/**
 * Tools in a chat, and in words for models whose template knows none: a system prompt that lists them and shows the
 * form of a call, earlier calls as the model would have said them, and results as messages of the user.
 * docs/tools.md describes it.
 */
import { callText, type SaidCall, taggedCalls } from './call-form.ts';

export interface DescribedTool {
  readonly name: string;
  readonly description: string | null;
  /** JSON Schema of the arguments, or null for any object. */
  readonly parameters: unknown;
}

/** Functions that the prompt lists. */
export interface PromptTools {
  readonly described: readonly DescribedTool[];
  /** Text is no answer. */
  readonly required: boolean;
}

export interface ToolMessage {
  readonly role: 'system' | 'user' | 'assistant' | 'tool';
  readonly content: string;
  /** Of the assistant: calls behind its text. */
  readonly calls?: readonly SaidCall[];
  /** Of the first message, which is then the system's: what may be called. */
  readonly tools?: PromptTools;
}

export interface PlainMessage {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

/** The tools go to the end of the first system prompt, or before everything. */
export function withTools(messages: readonly ToolMessage[], tools: PromptTools): readonly ToolMessage[] {
  if (tools.described.length === 0) return messages;
  const [first, ...rest] = messages;
  return first?.role === 'system'
    ? [{ ...first, tools }, ...rest]
    : [{ role: 'system', content: '', tools }, ...messages];
}

export function usesTools(messages: readonly ToolMessage[]): boolean {
  return messages.some(
    ({ role, calls, tools }) => role === 'tool' || calls !== undefined || tools !== undefined,
  );
}

/** The same chat without tools but in words. */
export function inWords(messages: readonly ToolMessage[]): PlainMessage[] {
  return messages.map(({ role, content, calls = [], tools }) => {
    if (role === 'tool') return { role: 'user', content: resultText(content) };
    const parts = [content, ...(calls.length > 0 ? [callText(taggedCalls, calls)] : [])];
    if (tools !== undefined) return { role, content: joined([content, toolPrompt(tools)], '\n\n') };
    return { role, content: joined(parts, '\n') };
  });
}

function joined(parts: readonly string[], between: string): string {
  return parts.filter((part) => part !== '').join(between);
}

/** What the system prompt ends with. */
function toolPrompt({ described, required }: PromptTools): string {
  const list = described.map(({ name, description, parameters }) =>
    JSON.stringify({ name, ...(description !== null && { description }), parameters: parameters ?? {} }),
  );
  return [
    'You can call functions. Each is listed with a JSON schema of its arguments:',
    ...list,
    'To call one, write exactly this and nothing after it:',
    callText(taggedCalls, [{ name: 'NAME', arguments: '{"ARGUMENT": "VALUE"}' }]),
    required
      ? 'Answer with a call.'
      : 'Call a function when it helps; when you know the answer, or a result was given, answer in words.',
  ].join('\n');
}

function resultText(content: string): string {
  return `<tool_response>\n${content}\n</tool_response>`;
}
