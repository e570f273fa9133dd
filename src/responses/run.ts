/**
 * One response in the making: the engine's events become response events as its reader pulls them, and the end is
 * kept before it is told, so that a client may go on from it at once. Whatever happens, there is exactly one end.
 */
import type { CompletionEvent, CompletionRequest, Usage } from '../completion.ts';
import { type GatewayError, toGatewayError } from '../errors.ts';
import type { CallForm } from '../text/call-form.ts';
import { type AnswerPiece, ToolCallParser } from '../text/tool-call-parser.ts';
import type { RatedToken } from '../token-logprobs.ts';
import { createEventSequence, type TextDelta } from './event-sequence.ts';
import type { NewId, TokenLogprob } from './items.ts';
import type { ResponseEvent } from './response-events.ts';
import type { ResponseError, ResponseObject, ResponseUsage } from './response-object.ts';

/** A completion that is under way. */
export interface StartedAnswer {
  /** Rejects when it does not begin: queue full, prompt too long. */
  readonly starting: Promise<unknown>;
  readonly events: AsyncIterable<CompletionEvent>;
}

export type StartAnswer = (request: CompletionRequest) => StartedAnswer;

type TextEvent = Extract<CompletionEvent, { type: 'text' }>;
type FinishEvent = Extract<CompletionEvent, { type: 'finish' }>;

/** What only the edge knows to write, such as metrics. */
export type ExtendResponse = (finish: FinishEvent) => Readonly<Record<string, unknown>>;

export interface RunOptions {
  readonly response: ResponseObject;
  readonly answer: StartedAnswer;
  readonly signal: AbortSignal;
  readonly newId: NewId;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Fail without an `error` event: where that alone ends a response for its reader. */
  readonly failSilently: boolean;
  /** How calls are written in the answer; null: it has none. */
  readonly callForm: CallForm | null;
  /** Fields beyond OpenAI's that the finished response has. */
  readonly extend: ExtendResponse | null;
  /** Told once, with the response as it ended. */
  readonly onEnd: (response: ResponseObject) => void;
}

export interface Run {
  readonly id: string;
  /** As it stands now. */
  readonly response: ResponseObject;
  /** Why it failed. */
  readonly failure: GatewayError | null;
  readonly starting: Promise<unknown>;
  /** To be read once; batches belong together. Leaving early cancels. Never throws. */
  readonly events: AsyncGenerator<ResponseEvent[]>;
}

export function createRun(options: RunOptions): Run {
  const { response, answer, signal, newId, now, onEnd } = options;
  const sequence = createEventSequence(response, newId);
  const calls = options.callForm === null ? null : new ToolCallParser(options.callForm);
  let begunCalls = 0;
  let failure: GatewayError | null = null;
  let ended = false;

  /** The first caller decides how it ends. */
  function end(events: ResponseEvent[]): ResponseEvent[] {
    ended = true;
    onEnd(sequence.response);
    return events;
  }

  function tell(piece: AnswerPiece, logprobs: readonly TokenLogprob[]): ResponseEvent[] {
    if (piece.type === 'content') return sequence.text([{ text: piece.text, logprobs }]);
    if (piece.type === 'arguments') return sequence.callArguments(piece.text);
    begunCalls += 1;
    return sequence.call(newId('call_'), piece.name);
  }

  /** Tokens of calls have no place for log-probabilities; those of text go with the text that they bring. */
  function read(event: TextEvent): ResponseEvent[] {
    const deltas = textDeltas(event);
    if (calls === null) return sequence.text(deltas);
    return deltas.flatMap(({ text, logprobs }) =>
      calls.push(text).flatMap((piece, index) => tell(piece, index === 0 ? logprobs : [])),
    );
  }

  async function* play(): AsyncGenerator<ResponseEvent[]> {
    try {
      yield sequence.open();
      for await (const event of answer.events) {
        if (event.type === 'text') {
          const batch = read(event);
          if (batch.length > 0) yield batch;
        } else if (event.type === 'finish') {
          const completedS = Math.floor(now() / 1000);
          const lastItemCut = calls !== null && begunCalls > calls.completeCalls;
          const told = { reason: event.reason, usage: usageOf(event.usage), lastItemCut, completedS };
          const rest = (calls?.flush() ?? []).flatMap((piece) => tell(piece, []));
          yield [...rest, ...end(sequence.finish(told, options.extend?.(event)))];
          return;
        }
      }
      throw new Error('the answer ended without a finish event');
    } catch (thrown) {
      failure = toGatewayError(signal.aborted ? signal.reason : thrown);
      const { code, param } = failure;
      const left = code === 'client_gone' || code === 'cancelled';
      const told = { code, param, error: errorOf(failure) };
      yield end(left ? sequence.cancel() : sequence.fail(told, options.failSilently));
    } finally {
      if (!ended) end(sequence.cancel());
    }
  }

  return {
    id: response.id,
    get response() {
      return sequence.response;
    },
    get failure() {
      return failure;
    },
    starting: answer.starting,
    events: play(),
  };
}

/** Tokens that have no text yet come with their log-probabilities all the same. */
function textDeltas({ deltas, logprobs = [] }: TextEvent): TextDelta[] {
  return deltas.map((text, index) => {
    const rated = logprobs[index] ?? null;
    return { text, logprobs: rated === null ? [] : [tokenLogprob(rated)] };
  });
}

/** OpenAI has no null here: a control token is one without bytes. */
function tokenLogprob({ token, bytes, logprob, top }: RatedToken): TokenLogprob {
  const plain = top.map((one) => ({ token: one.token, bytes: one.bytes ?? [], logprob: one.logprob }));
  return { token, bytes: bytes ?? [], logprob, top_logprobs: plain };
}

export function usageOf(usage: Usage): ResponseUsage {
  return {
    input_tokens: usage.promptTokens,
    input_tokens_details: { cached_tokens: usage.cachedTokens, cache_write_tokens: 0 },
    output_tokens: usage.completionTokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: usage.promptTokens + usage.completionTokens,
  };
}

function errorOf({ message, traits }: GatewayError): ResponseError {
  if (traits.status === 429) return { code: 'rate_limit_exceeded', message };
  return { code: traits.status < 500 ? 'invalid_prompt' : 'server_error', message };
}
