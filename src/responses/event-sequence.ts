/**
 * The streamed events of one response, as a pure state machine: what the engine reports goes in, events in the order
 * that OpenAI's clients demand come out. created (queued) in_progress; per item: item added, part added, deltas, text
 * done, part done, item done; then exactly one terminal event that holds every item. `sequence_number` counts from 0
 * without gaps, an `output_index` and an item id are used once, and all lifecycle events carry the same response id.
 */
import type { FunctionCallItem, Item, MessageItem, NewId, OutputTextPart, TokenLogprob } from './items.ts';
import type { EventBody, ItemPlace, Lifecycle, PartPlace, ResponseEvent } from './response-events.ts';
import {
  isFinished,
  type ResponseError,
  type ResponseObject,
  type ResponseUsage,
} from './response-object.ts';

export interface TextDelta {
  readonly text: string;
  readonly logprobs: readonly TokenLogprob[];
}

export interface SequenceEnd {
  readonly reason: 'stop' | 'length';
  readonly usage: ResponseUsage;
  /** The last item was not said to its end, although the answer ended by itself: a stop string inside a call. */
  readonly lastItemCut?: boolean;
  /** Seconds since 1970. */
  readonly completedS: number;
}

export interface SequenceFailure {
  /** Of the `error` event; the response itself has OpenAI's short list of codes. */
  readonly code: string;
  readonly param: string | null;
  readonly error: ResponseError;
}

/** Methods are called in this order: open, any of text and call, one of finish, fail, cancel and endAs. Throws otherwise. */
export interface EventSequence {
  /** As it stands now. */
  readonly response: ResponseObject;
  open(): ResponseEvent[];
  /** Text of the answer; a delta without text or logprobs has no event. */
  text(deltas: readonly TextDelta[]): ResponseEvent[];
  /** The beginning of a function call; it ends the item before it. */
  call(callId: string, name: string): ResponseEvent[];
  /** More of the arguments of the call that was begun last. */
  callArguments(delta: string): ResponseEvent[];
  /** `extras` become fields of the finished response. */
  finish(end: SequenceEnd, extras?: Readonly<Record<string, unknown>>): ResponseEvent[];
  /** An `error` event, unless `silently`, then response.failed. */
  fail(failure: SequenceFailure, silently?: boolean): ResponseEvent[];
  /** Ends with response.incomplete, whose response says cancelled: there is no event of that name. */
  cancel(): ResponseEvent[];
  /** Ends as a finished response of the same output did; the last event carries it as it is. */
  endAs(final: ResponseObject): ResponseEvent[];
}

interface OpenMessage {
  readonly type: 'message';
  readonly id: string;
  text: string;
  readonly logprobs: TokenLogprob[];
}

interface OpenCall {
  readonly type: 'function_call';
  readonly id: string;
  readonly callId: string;
  readonly name: string;
  args: string;
}

type OpenItem = OpenMessage | OpenCall;

const contentIndex = 0;

export function createEventSequence(initial: ResponseObject, newId: NewId): EventSequence {
  let response = initial;
  let sequenceNumber = 0;
  let opened = false;
  let open: OpenItem | null = null;
  const done: Item[] = [];

  const event = (body: EventBody): ResponseEvent => ({ ...body, sequence_number: sequenceNumber++ });
  const lifecycle = (name: Lifecycle): ResponseEvent => event({ type: `response.${name}`, response });
  const itemPlace = ({ id }: OpenItem): ItemPlace => ({ item_id: id, output_index: done.length });
  const partPlace = (item: OpenItem): PartPlace => ({ ...itemPlace(item), content_index: contentIndex });

  function requireOpen(): void {
    if (!opened || isFinished(response))
      throw new Error('the events of this response are over, or not begun');
  }

  function begin(item: OpenItem): ResponseEvent[] {
    open = item;
    const added = event({
      type: 'response.output_item.added',
      output_index: done.length,
      item: itemOf(item, 'in_progress', false),
    });
    if (item.type === 'function_call') return [added];
    return [
      added,
      event({ type: 'response.content_part.added', ...partPlace(item), part: textPart('', []) }),
    ];
  }

  /** The done events of the open item, if there is one. */
  function endItem(status: 'completed' | 'incomplete'): ResponseEvent[] {
    const item = open;
    if (item === null) return [];
    open = null;
    const events: ResponseEvent[] = [];
    if (item.type === 'message') {
      const { text, logprobs } = item;
      events.push(
        event({ type: 'response.output_text.done', ...partPlace(item), text, logprobs }),
        event({ type: 'response.content_part.done', ...partPlace(item), part: textPart(text, logprobs) }),
      );
    } else {
      const { name, args } = item;
      events.push(
        event({ type: 'response.function_call_arguments.done', ...itemPlace(item), name, arguments: args }),
      );
    }
    const whole = itemOf(item, status, true);
    events.push(event({ type: 'response.output_item.done', output_index: done.length, item: whole }));
    done.push(whole);
    return events;
  }

  /** The message that is open; else a new one, whose beginning is added to the events. */
  function openMessage(events: ResponseEvent[]): OpenMessage {
    if (open?.type === 'message') return open;
    const message: OpenMessage = { type: 'message', id: newId('msg_'), text: '', logprobs: [] };
    events.push(...endItem('completed'), ...begin(message));
    return message;
  }

  /** The events after the last word. `output` of the change is ignored: it is what was said. */
  function conclude(
    change: Partial<ResponseObject> & Pick<ResponseObject, 'status'>,
    cut = false,
  ): ResponseEvent[] {
    requireOpen();
    const { status } = change;
    const events: ResponseEvent[] = [];
    // An answer without a word is a message without text.
    if (open === null && done.length === 0 && (status === 'completed' || status === 'incomplete')) {
      openMessage(events);
    }
    events.push(...endItem(status === 'completed' && !cut ? 'completed' : 'incomplete'));
    response = { ...response, ...change, output: [...done] };
    return events;
  }

  return {
    get response() {
      return response;
    },
    open() {
      if (opened) throw new Error('the events of this response have begun already');
      opened = true;
      const events = [lifecycle('created')];
      if (response.status === 'queued') events.push(lifecycle('queued'));
      response = { ...response, status: 'in_progress' };
      return [...events, lifecycle('in_progress')];
    },
    text(deltas) {
      requireOpen();
      const events: ResponseEvent[] = [];
      for (const { text: delta, logprobs } of deltas) {
        if (delta === '' && logprobs.length === 0) continue;
        const message = openMessage(events);
        message.text += delta;
        message.logprobs.push(...logprobs);
        events.push(event({ type: 'response.output_text.delta', ...partPlace(message), delta, logprobs }));
      }
      return events;
    },
    call(callId, name) {
      requireOpen();
      const events = endItem('completed');
      return [...events, ...begin({ type: 'function_call', id: newId('fc_'), callId, name, args: '' })];
    },
    callArguments(delta) {
      requireOpen();
      if (open?.type !== 'function_call') throw new Error('arguments without a call');
      open.args += delta;
      return [event({ type: 'response.function_call_arguments.delta', ...itemPlace(open), delta })];
    },
    finish({ reason, usage, completedS, lastItemCut = false }, extras = {}) {
      const cut = reason === 'length';
      const change = {
        ...extras,
        usage,
        completed_at: cut ? null : completedS,
        incomplete_details: cut ? { reason: 'max_output_tokens' as const } : null,
      };
      const status = cut ? 'incomplete' : 'completed';
      const events = conclude({ ...change, status }, lastItemCut);
      return [...events, lifecycle(status)];
    },
    fail({ code, param, error }, silently = false) {
      const events = conclude({ status: 'failed', error });
      if (!silently) events.push(event({ type: 'error', code, message: error.message, param }));
      return [...events, lifecycle('failed')];
    },
    cancel() {
      const events = conclude({ status: 'cancelled' });
      return [...events, lifecycle('incomplete')];
    },
    endAs(final) {
      const events = conclude(final);
      response = final;
      const { status, error } = final;
      if (status === 'failed' && error !== null) {
        events.push(event({ type: 'error', code: error.code, message: error.message, param: null }));
      }
      return [...events, lifecycle(status === 'cancelled' ? 'incomplete' : (status as Lifecycle))];
    },
  };
}

function itemOf(
  item: OpenItem,
  status: MessageItem['status'],
  whole: boolean,
): MessageItem | FunctionCallItem {
  const { id } = item;
  if (item.type === 'function_call') {
    const { callId, name, args } = item;
    return { id, type: 'function_call', status, call_id: callId, name, arguments: whole ? args : '' };
  }
  const content = whole ? [textPart(item.text, item.logprobs)] : [];
  return { id, type: 'message', status, role: 'assistant', content };
}

const textPart = (text: string, logprobs: readonly TokenLogprob[]): OutputTextPart => ({
  type: 'output_text',
  text,
  annotations: [],
  logprobs: [...logprobs],
});
