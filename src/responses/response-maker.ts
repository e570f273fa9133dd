/**
 * Responses from order to end: what came before is looked up, the model is asked, and what came out is kept. Knows
 * neither HTTP nor sockets; whoever reads the events sets the pace, and background.ts is such a reader.
 */
import type { ChatMessage, CompletionRequest } from '../completion.ts';
import { GatewayError } from '../errors.ts';
import type { CallForm } from '../text/call-form.ts';
import type { PromptTools } from '../text/tool-messages.ts';
import { compactionItem, summaryRequest, summaryTokensMax } from './compaction.ts';
import type { ConversationStore } from './conversation-store.ts';
import type { CompactionItem, InputItem, Item, NewId } from './items.ts';
import { promptOf } from './prompt.ts';
import {
  isFinished,
  newResponse,
  type ResponseObject,
  type ResponseSettings,
  type ResponseUsage,
} from './response-object.ts';
import type { ResponseRecord, ResponseStore } from './response-store.ts';
import { createRun, type ExtendResponse, type Run, type StartAnswer, usageOf } from './run.ts';
import { truncateOldest } from './truncation.ts';

/** A conversation that is longer fits no context, and each response of a chain keeps it whole. */
const inputBytesMax = 8 * 2 ** 20;

/** What a client asked for; `settings` come back in the response. */
export interface ResponseOrder {
  readonly owner: string;
  readonly settings: ResponseSettings;
  readonly input: readonly InputItem[];
  readonly completion: Omit<CompletionRequest, 'messages' | 'promptIds' | 'owner' | 'signal'>;
  readonly contextLength: number;
  readonly tools: PromptTools;
  /** How calls are written in the answer; null: it has none. */
  readonly callForm: CallForm | null;
  readonly extend: ExtendResponse | null;
}

/** Responses that are kept elsewhere than in the store, looked up first. */
export type RecordSource = (id: string) => ResponseRecord | null;

export interface OpenOptions {
  readonly signal: AbortSignal;
  readonly source?: RecordSource;
  readonly failSilently?: boolean;
  /** Told with every end, stored or not. */
  readonly onEnd?: (record: ResponseRecord) => void;
}

export interface Compacted {
  readonly item: CompactionItem;
  readonly usage: ResponseUsage;
}

export interface ResponseMaker {
  /** Throws previous_response_not_found, conversation_not_found, item_not_found, and what the engine throws. */
  open(order: ResponseOrder, options: OpenOptions): Run;
  /** As `open`, without asking the model: a response without output to go on from. */
  warmUp(order: ResponseOrder, source?: RecordSource): ResponseRecord;
  /** Tokens of the prompt that `open` would send. */
  countInput(order: ResponseOrder): number;
  /** A summary in place of everything. */
  compact(order: ResponseOrder, signal: AbortSignal): Promise<Compacted>;
}

export interface ResponseMakerOptions {
  readonly responses: ResponseStore;
  readonly conversations: ConversationStore;
  readonly startAnswer: StartAnswer;
  /** Throws GatewayError: context_length_exceeded, model_loading. */
  readonly countTokens: (messages: readonly ChatMessage[]) => number;
  readonly newId: NewId;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** The answer was given, but could not be kept. */
  readonly onStoreFailure: (error: unknown) => void;
}

export function createResponseMaker(options: ResponseMakerOptions): ResponseMaker {
  const { responses, conversations, startAnswer, countTokens, newId, now } = options;

  /** Items from before, and the new ones with references resolved. */
  function readInput(
    order: ResponseOrder,
    source?: RecordSource,
  ): { before: readonly Item[]; added: Item[] } {
    const { owner, settings } = order;
    const before = itemsBefore(owner, settings, source);
    const added = order.input.map((item, index) => {
      if (item.type !== 'item_reference') return item;
      const known = before.find(({ id }) => id === item.id) ?? responses.findItem(owner, item.id);
      if (known !== null && known !== undefined) return known;
      throw new GatewayError('item_not_found', `Item with id '${item.id}' not found.`, {
        param: `input[${index}].id`,
      });
    });
    checkResults(before, added);
    if (JSON.stringify(before).length + JSON.stringify(added).length > inputBytesMax) {
      throw new GatewayError(
        'context_length_exceeded',
        `The conversation is longer than ${inputBytesMax} bytes. Compact it, or begin a new one.`,
        { param: 'input' },
      );
    }
    return { before, added };
  }

  function itemsBefore(owner: string, settings: ResponseSettings, source?: RecordSource): readonly Item[] {
    const { previous_response_id: previousId, conversation } = settings;
    if (previousId !== null) {
      const record = source?.(previousId) ?? responses.get(owner, previousId);
      if (record !== null) {
        if (isFinished(record.response)) return [...record.input, ...record.response.output];
        throw new GatewayError('invalid_request', `Previous response '${previousId}' is not finished yet.`, {
          param: 'previous_response_id',
        });
      }
      throw new GatewayError(
        'previous_response_not_found',
        `Previous response with id '${previousId}' not found.`,
        { param: 'previous_response_id' },
      );
    }
    if (conversation === null) return [];
    const items = conversations.items(owner, conversation.id);
    if (items !== null) return items;
    throw new GatewayError('conversation_not_found', `Conversation with id '${conversation.id}' not found.`, {
      param: 'conversation',
    });
  }

  function messagesFor(order: ResponseOrder, items: readonly Item[]): readonly ChatMessage[] {
    const messages = promptOf(order.settings.instructions, items, order.tools);
    if (order.settings.truncation === 'disabled') return messages;
    return truncateOldest(messages, {
      contextLength: order.contextLength,
      maxTokens: order.completion.maxTokens,
      count: (some) => countOr(some, Number.POSITIVE_INFINITY),
    });
  }

  function countOr(messages: readonly ChatMessage[], tooMany: number): number {
    try {
      return countTokens(messages);
    } catch (error) {
      if (error instanceof GatewayError && error.code === 'context_length_exceeded') return tooMany;
      throw error;
    }
  }

  function keep({ owner, settings }: ResponseOrder, record: ResponseRecord, added: readonly Item[]): void {
    const { response } = record;
    try {
      if (settings.store) responses.put(owner, record);
      const said = response.status === 'completed' || response.status === 'incomplete';
      if (settings.conversation === null || !said) return;
      conversations.addItems(owner, settings.conversation.id, [...added, ...response.output]);
    } catch (error) {
      options.onStoreFailure(error);
    }
  }

  const newResponseOf = (settings: ResponseSettings): ResponseObject =>
    newResponse(newId('resp_'), Math.floor(now() / 1000), settings);

  return {
    open(order, { signal, source, failSilently = false, onEnd }) {
      const { before, added } = readInput(order, source);
      const input = [...before, ...added];
      const messages = messagesFor(order, input);
      const response = newResponseOf(order.settings);
      if (order.settings.background) responses.put(order.owner, { response, input });
      return createRun({
        response,
        answer: startAnswer({ ...order.completion, messages, owner: order.owner, signal }),
        signal,
        newId,
        now,
        failSilently,
        callForm: order.callForm,
        extend: order.extend,
        onEnd: (ended) => {
          const record = { response: ended, input };
          keep(order, record, added);
          onEnd?.(record);
        },
      });
    },
    warmUp(order, source) {
      const { before, added } = readInput(order, source);
      const input = [...before, ...added];
      const tokens = countTokens(messagesFor(order, input));
      const nothing = { completionTokens: 0, cachedTokens: 0, acceptedPredictionTokens: 0 };
      const usage = usageOf({ promptTokens: tokens, rejectedPredictionTokens: 0, ...nothing });
      const begun = newResponseOf(order.settings);
      const response = { ...begun, status: 'completed' as const, completed_at: begun.created_at, usage };
      const record = { response, input };
      keep({ ...order, settings: { ...order.settings, conversation: null } }, record, []);
      return record;
    },
    countInput(order) {
      const { before, added } = readInput(order);
      return countTokens(messagesFor(order, [...before, ...added]));
    },
    async compact(order, signal) {
      const { before, added } = readInput(order);
      const whole = promptOf(order.settings.instructions, [...before, ...added]);
      const { contextLength } = order;
      const maxTokens = Math.min(summaryTokensMax, contextLength >> 2);
      const count = (some: readonly ChatMessage[]): number => {
        return countOr([...some, summaryRequest], Number.POSITIVE_INFINITY);
      };
      const messages = [...truncateOldest(whole, { contextLength, maxTokens, count }), summaryRequest];
      const { events } = startAnswer({
        ...order.completion,
        maxTokens,
        messages,
        owner: order.owner,
        signal,
      });
      let summary = '';
      for await (const event of events) {
        if (event.type === 'text') summary += event.deltas.join('');
        else if (event.type === 'finish') {
          return { item: compactionItem(newId('cmp_'), summary.trim()), usage: usageOf(event.usage) };
        }
      }
      throw new Error('the summary ended without a finish event');
    },
  };
}

/** A result without its call would be shown to the model out of nowhere. */
function checkResults(before: readonly Item[], added: readonly Item[]): void {
  const called = new Set<string>();
  for (const item of before) if (item.type === 'function_call') called.add(item.call_id);
  for (const [index, item] of added.entries()) {
    if (item.type === 'function_call') called.add(item.call_id);
    if (item.type !== 'function_call_output' || called.has(item.call_id)) continue;
    throw new GatewayError(
      'invalid_request',
      `No tool call found for function call output with call_id ${item.call_id}.`,
      { param: `input[${index}].call_id` },
    );
  }
}
