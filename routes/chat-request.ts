/**
 * A validated chat body → CompletionRequest. Pure. What the schema cannot say is refused here with the field's path:
 * roles and content parts that this model has no use for, options that contradict one another.
 */
import type { ChatMessage, CompletionRequest } from '../src/completion.ts';
import { GatewayError } from '../src/errors.ts';
import type { CallForm, SaidCall } from '../src/text/call-form.ts';
import { withTools } from '../src/text/tool-messages.ts';
import { readChatLogprobs } from './chat-logprobs.ts';
import { readFormat } from './format-fields.ts';
import { readSampling } from './sampling-fields.ts';
import type { ChatRequestBody, ContentBody, MessageBody } from './schemas.ts';
import { readTools } from './tool-fields.ts';

/** Throws invalid_request, unsupported_parameter. */
export function readChatRequest(
  body: ChatRequestBody,
  { owner, signal, callForm }: Pick<CompletionRequest, 'owner' | 'signal'> & { readonly callForm: CallForm },
): CompletionRequest {
  if (body.reasoning_effort != null && body.reasoning_effort !== 'none') {
    throw new GatewayError(
      'unsupported_parameter',
      "The model does not reason; leave 'reasoning_effort' out, or send 'none'.",
      { param: 'reasoning_effort' },
    );
  }
  if (body.stream !== true && body.stream_options != null) {
    throw new GatewayError('invalid_request', "'stream_options' is only allowed with 'stream': true.", {
      param: 'stream_options',
    });
  }
  const tools = readTools(body, readFormat(body), callForm);
  return {
    messages: withTools(readMessages(body.messages), tools),
    ...(tools.grammar !== null && { grammar: tools.grammar }),
    ...readSampling(body),
    ...readChatLogprobs(body),
    maxTokens: body.max_completion_tokens ?? body.max_tokens ?? null,
    prediction: body.prediction == null ? null : joinText(body.prediction.content, 'prediction.content'),
    owner,
    signal,
  };
}

/** Throws invalid_request, unsupported_parameter. */
export function readMessages(messages: readonly MessageBody[]): ChatMessage[] {
  return messages.map((message, index) => readMessage(message, `messages[${index}]`));
}

function readMessage(message: MessageBody, path: string): ChatMessage {
  const { role, content } = message;
  if (role === 'function') {
    throw new GatewayError('unsupported_parameter', `Messages of the role '${role}' are not supported.`, {
      param: `${path}.role`,
    });
  }
  for (const field of ['function_call', 'audio'] as const) {
    const value = (message as Record<string, unknown>)[field];
    if (value == null || (Array.isArray(value) && value.length === 0)) continue;
    throw new GatewayError('unsupported_parameter', `'${field}' in a message is not supported.`, {
      param: `${path}.${field}`,
    });
  }
  const calls = message.tool_calls ?? [];
  if (calls.length > 0) {
    const text = content == null ? '' : joinText(content, `${path}.content`);
    return { role: 'assistant', content: text, calls: saidCalls(message, path) };
  }
  if (content == null) {
    throw new GatewayError('invalid_request', 'A message needs content: a string or text parts.', {
      param: `${path}.content`,
    });
  }
  const text = joinText(content, `${path}.content`);
  return { role: role === 'developer' ? 'system' : role, content: text };
}

/** An assistant's earlier calls. */
function saidCalls({ role, tool_calls }: MessageBody, path: string): SaidCall[] {
  if (role !== 'assistant') {
    throw new GatewayError('invalid_request', `Only the assistant has 'tool_calls'.`, {
      param: `${path}.tool_calls`,
    });
  }
  return (tool_calls ?? []).map((call, index) => {
    if (isJsonObject(call.function.arguments)) return call.function;
    throw new GatewayError('invalid_request', 'The arguments of a call are the text of a JSON object.', {
      param: `${path}.tool_calls[${index}].function.arguments`,
    });
  });
}

function isJsonObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

/** Text parts are concatenated; an assistant's refusal is what it said. */
export function joinText(content: ContentBody, path: string): string {
  if (typeof content === 'string') return content;
  return content
    .map((part, index) => {
      const text = part.type === 'text' ? part.text : part.type === 'refusal' ? part.refusal : undefined;
      if (text !== undefined) return text;
      const known = part.type === 'text' || part.type === 'refusal';
      throw known
        ? new GatewayError('invalid_request', `A part of type '${part.type}' needs its text.`, {
            param: `${path}[${index}].${part.type}`,
          })
        : new GatewayError(
            'unsupported_parameter',
            `Content parts of type '${part.type.slice(0, 40)}' are not supported: the model reads text only.`,
            { param: path.startsWith('messages') ? `${path}[${index}].type` : path },
          );
    })
    .join('');
}
