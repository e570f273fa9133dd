/**
 * A validated chat body → CompletionRequest. Pure. What the schema cannot say is refused here with the field's path:
 * roles and content parts that this model has no use for, options that contradict one another.
 */
import type { ChatMessage, CompletionRequest } from '../src/completion.ts';
import { GatewayError } from '../src/errors.ts';
import { readChatLogprobs } from './chat-logprobs.ts';
import { readSampling } from './sampling-fields.ts';
import type { ChatRequestBody, ContentBody, MessageBody } from './schemas.ts';

/** Throws invalid_request, unsupported_parameter. */
export function readChatRequest(
  body: ChatRequestBody,
  { owner, signal }: Pick<CompletionRequest, 'owner' | 'signal'>,
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
  return {
    messages: readMessages(body.messages),
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
  if (role === 'tool' || role === 'function') {
    throw new GatewayError('unsupported_parameter', `Messages of the role '${role}' are not supported.`, {
      param: `${path}.role`,
    });
  }
  for (const field of ['tool_calls', 'function_call', 'audio'] as const) {
    const value = (message as Record<string, unknown>)[field];
    if (value == null || (Array.isArray(value) && value.length === 0)) continue;
    throw new GatewayError('unsupported_parameter', `'${field}' in a message is not supported.`, {
      param: `${path}.${field}`,
    });
  }
  if (content == null) {
    throw new GatewayError('invalid_request', 'A message needs content: a string or text parts.', {
      param: `${path}.content`,
    });
  }
  return { role: role === 'developer' ? 'system' : role, content: joinText(content, `${path}.content`) };
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
