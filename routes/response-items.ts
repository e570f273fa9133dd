/**
 * Input items of a validated body → items as they are kept: ids where there were none, text in parts. Pure. What this
 * model has no use for is refused with the path of the field that says so.
 */
import { GatewayError } from '../src/errors.ts';
import { readCompaction } from '../src/responses/compaction.ts';
import type { InputItem, MessageItem, NewId } from '../src/responses/items.ts';
import type { InputBody, InputContentBody, InputItemBody } from './response-schemas.ts';

type Part = MessageItem['content'][number];

/** A text is a message of the user. Throws invalid_request, unsupported_parameter. */
export function readItems(input: InputBody, newId: NewId, path = 'input'): InputItem[] {
  const items = typeof input === 'string' ? [{ role: 'user' as const, content: input }] : input;
  return items.map((item, index) => readItem(item, newId, `${path}[${index}]`));
}

function readItem(item: InputItemBody, newId: NewId, path: string): InputItem {
  const type = item.type ?? (item.role === undefined && item.id != null ? 'item_reference' : 'message');
  switch (type) {
    case 'message': {
      const role = required(item.role, `${path}.role`);
      const content = readContent(required(item.content, `${path}.content`), role, `${path}.content`);
      return { id: item.id ?? newId('msg_'), type, status: 'completed', role, content };
    }
    case 'item_reference':
      return { type, id: required(item.id, `${path}.id`) };
    case 'reasoning': {
      const summary = (item.summary ?? []).map(({ text }) => ({
        type: 'summary_text' as const,
        text: text ?? '',
      }));
      return {
        id: item.id ?? newId('rs_'),
        type,
        summary,
        encrypted_content: item.encrypted_content ?? null,
      };
    }
    case 'compaction': {
      const content = required(item.encrypted_content, `${path}.encrypted_content`);
      if (readCompaction(content) === null) {
        throw new GatewayError('invalid_request', 'This compaction was not made here.', {
          param: `${path}.encrypted_content`,
        });
      }
      return { id: item.id ?? newId('cmp_'), type, encrypted_content: content };
    }
    case 'function_call': {
      const said = required(item.arguments, `${path}.arguments`);
      const call = {
        call_id: required(item.call_id, `${path}.call_id`),
        name: required(item.name, `${path}.name`),
      };
      return {
        ...{ id: item.id ?? newId('fc_'), type, status: 'completed' },
        ...call,
        arguments: said === '' ? '{}' : said,
      };
    }
    case 'function_call_output': {
      const callId = required(item.call_id, `${path}.call_id`);
      const parts = readContent(required(item.output, `${path}.output`), 'user', `${path}.output`);
      const output = parts.map((part) => (part.type === 'refusal' ? part.refusal : part.text)).join('');
      return { id: item.id ?? newId('fco_'), type, status: 'completed', call_id: callId, output };
    }
    default:
      throw new GatewayError(
        'unsupported_parameter',
        `Items of type '${type.slice(0, 40)}' are not supported.`,
        {
          param: `${path}.type`,
        },
      );
  }
}

function required<T>(value: T | null | undefined, param: string): T {
  if (value != null) return value;
  throw new GatewayError('invalid_request', `'${param}' is missing.`, { param });
}

function readContent(content: InputContentBody, role: MessageItem['role'], path: string): Part[] {
  const textPart = (text: string): Part =>
    role === 'assistant'
      ? { type: 'output_text', text, annotations: [], logprobs: [] }
      : { type: 'input_text', text };
  if (typeof content === 'string') return [textPart(content)];
  return content.map((part, index) => {
    switch (part.type) {
      case 'input_text':
      case 'output_text':
      case 'text':
        return textPart(required(part.text, `${path}[${index}].text`));
      case 'refusal':
        return { type: 'refusal', refusal: required(part.refusal, `${path}[${index}].refusal`) };
      default:
        throw new GatewayError(
          'unsupported_parameter',
          `Content of type '${part.type.slice(0, 40)}' is not supported: the model reads text only.`,
          { param: `${path}[${index}].type` },
        );
    }
  });
}
