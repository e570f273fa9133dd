/**
 * The requests that a loaded ring is given: code, maths and chat, short and long prompts and answers, in an order and at
 * times that follow from the seed alone. Every measurement of a run takes the same trace from its beginning, so that
 * they differ in nothing but what is compared. Arrivals are a Poisson process: gaps are exponential, at a constant rate.
 */
import type { BenchTask } from './mode-runs.ts';

/** Answers of a word or two, and of a paragraph. */
const shortAnswerTokens = 24;
const longAnswerTokens = 96;
/** Of the trace, on average, if all were as long as they may be. */
export const meanTokensMax = (shortAnswerTokens + longAnswerTokens) / 2;
/** A long prompt has other prompts of the set before it, up to so many tokens: a question behind a document. */
const longPromptTokens = 320;

export interface TraceRequest {
  /** Equal for requests that ask for the same, whose answers must be equal. */
  readonly name: string;
  readonly kind: string;
  readonly promptIds: readonly number[];
  readonly maxTokens: number;
}

/** The request at each place of the trace. */
export function traceOf(tasks: readonly BenchTask[], seed: number): (place: number) => TraceRequest {
  return (place) => {
    const random = randomAt(seed, place);
    const at = Math.floor(random() * tasks.length);
    const { id, kind, promptIds } = tasks[at];
    const [longPrompt, longAnswer] = [random() < 0.25, random() < 0.5];
    const maxTokens = longAnswer ? longAnswerTokens : shortAnswerTokens;
    const before: number[] = [];
    for (let i = 1; longPrompt && before.length + promptIds.length < longPromptTokens; i++)
      before.push(...tasks[(at + i) % tasks.length].promptIds);
    return {
      name: `${id} ${longPrompt ? 'long' : 'short'} ${maxTokens}`,
      kind,
      promptIds: [...before, ...promptIds],
      maxTokens,
    };
  };
}

/** Times of arrival within so many ms, at a mean rate per second; of `countMax` requests at most. */
export function arrivalsMs(
  perSecond: number,
  withinMs: number,
  seed: number,
  countMax = Number.POSITIVE_INFINITY,
): number[] {
  const times: number[] = [];
  for (let now = 0; times.length < countMax; ) {
    now += (-Math.log(1 - randomAt(seed, times.length)()) / perSecond) * 1000;
    if (now >= withinMs) return times;
    times.push(now);
  }
  return times;
}

/** Numbers in [0, 1) that follow from seed and place (the mixer of SplitMix32). */
export function randomAt(seed: number, place: number): () => number {
  let state = Math.imul(seed, 0x9e3779b1) ^ Math.imul(place + 1, 0x85ebca6b);
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}
