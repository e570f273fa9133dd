/**
 * The events of a started answer as a route reads them: measured, ended by the signal, choices told apart by index.
 * Whatever goes wrong comes out as GatewayError, once.
 */
import { setTimeout as wait } from 'node:timers/promises';
import type { Completion, CompletionEvent } from '../src/completion.ts';
import { toGatewayError } from '../src/errors.ts';
import type { Metrics } from '../src/metrics.ts';
import { merge } from './merge.ts';
import { untilAborted } from './until-aborted.ts';

/** A start that takes longer than this gets its headers first and may then only fail in the stream. */
const headersWaitMsMax = 1000;

export type FinishEvent = Extract<CompletionEvent, { type: 'finish' }>;

/** An event of one choice of n. */
export interface ChoiceEvent {
  readonly index: number;
  readonly event: CompletionEvent;
}

export interface AnswerMeasures {
  readonly metrics: Metrics;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** The events of all choices as they come; ends when each has had its finish event. Throws GatewayError. */
export async function* followAnswer(
  starting: Promise<Completion>,
  signal: AbortSignal,
  { metrics, now }: AnswerMeasures,
): AsyncGenerator<ChoiceEvent> {
  const startMs = now();
  const deliveryMs = new Map<number, number>();
  try {
    for await (const choice of untilAborted(choiceEvents(starting), signal)) {
      const { index, event } = choice;
      if (event.type === 'finish') {
        metrics.recordCompletion(event.reason, event.usage, event.metrics);
        metrics.recordLatency(now() - startMs);
      } else {
        const beforeMs = deliveryMs.get(index);
        if (beforeMs !== undefined) metrics.recordDelivery(now() - beforeMs);
        deliveryMs.set(index, now());
      }
      yield choice;
    }
  } catch (thrown) {
    // The signal knows better than whatever its abortion made somebody throw.
    const error = toGatewayError(signal.aborted ? signal.reason : thrown);
    if (error.code === 'client_gone') metrics.recordBrokenCompletion('abort');
    else if (error.traits.status >= 500) metrics.recordBrokenCompletion('error');
    throw error;
  }
}

/** Events of all choices until each has finished. */
async function* choiceEvents(starting: Promise<Completion>): AsyncGenerator<ChoiceEvent> {
  const { choices } = await starting;
  for await (const [index, event] of merge(choices.map((choice) => () => untilFinish(choice)))) {
    yield { index, event };
  }
}

/** A choice that ends without saying so is a fault of ours. */
async function* untilFinish(choice: AsyncIterable<CompletionEvent>): AsyncGenerator<CompletionEvent> {
  for await (const event of choice) {
    yield event;
    if (event.type === 'finish') return;
  }
  throw new Error('the answer ended without a finish event');
}

/** Lets a start fail with its own status while it is quick; after the limit a stream's headers go first. */
export async function quickFailure(starting: Promise<unknown>): Promise<void> {
  const timer = new AbortController();
  try {
    await Promise.race([starting, wait(headersWaitMsMax, undefined, { signal: timer.signal })]);
  } finally {
    timer.abort();
  }
}
