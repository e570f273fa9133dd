/**
 * Chats with tools as a model's own template is handed them (the variables that Hugging Face's templates agreed on), and
 * whether a template renders them: that is found out by rendering a chat with a tool, a call and a result in it.
 */
import { type CallForm, callForms, callText } from './call-form.ts';
import type { ToolMessage } from './tool-messages.ts';

/** Variables of a template. */
export interface TemplateChat {
  readonly messages: readonly object[];
  readonly tools?: readonly object[];
}

/** Turns every text on its way into the template. */
export type TextChange = (text: string) => string;

export function nativeChat(messages: readonly ToolMessage[], change: TextChange): TemplateChat {
  const described = messages[0]?.tools?.described ?? [];
  const tools = described.map(({ name, description, parameters }) => ({
    type: 'function',
    function: {
      name: change(name),
      description: change(description ?? ''),
      parameters: changed(parameters ?? { type: 'object', properties: {} }, change),
    },
  }));
  return {
    messages: messages
      // A system prompt of tools alone is the template's to write.
      .filter(({ content, tools }) => content !== '' || tools === undefined)
      .map(({ role, content, calls = [] }) => ({
        role: change(role),
        content: change(content),
        ...(calls.length > 0 && {
          tool_calls: calls.map((call) => ({
            type: 'function',
            function: { name: change(call.name), arguments: changed(JSON.parse(call.arguments), change) },
          })),
        }),
      })),
    ...(tools.length > 0 && { tools }),
  };
}

function changed(value: unknown, change: TextChange): unknown {
  if (typeof value === 'string') return change(value);
  if (Array.isArray(value)) return value.map((item) => changed(item, change));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [change(name), changed(member, change)]),
  );
}

const probed = { name: 'probed_function', description: 'probed description', result: 'probed result' };

const probe: readonly ToolMessage[] = [
  {
    role: 'system',
    content: 'probe',
    tools: { described: [{ ...probed, parameters: { type: 'object', properties: {} } }], required: false },
  },
  { role: 'user', content: 'probe' },
  { role: 'assistant', content: '', calls: [{ name: probed.name, arguments: '{}' }] },
  { role: 'tool', content: probed.result },
];

/** The form in which a template renders calls; null where it does not render tools, or in a form unknown here. */
export function renderedForm(render: (chat: TemplateChat) => string): CallForm | null {
  try {
    const text = render(nativeChat(probe, (same) => same));
    if (!text.includes(probed.description) || !text.includes(probed.result)) return null;
    const call = [{ name: probed.name, arguments: '{}' }];
    return callForms.find((form) => text.includes(callText(form, call))) ?? null;
  } catch {
    return null;
  }
}
