/** A CompletionService without a model: it says what it is told, at the pace it is told, and remembers requests. */
import { setTimeout as wait } from 'node:timers/promises';
import type {
  Completion,
  CompletionEvent,
  CompletionMetrics,
  CompletionRequest,
  CompletionService,
} from '../../src/completion.ts';
import type { RatedToken } from '../../src/token-logprobs.ts';

export interface FakeAnswer {
  /** Deltas of each round. */
  readonly rounds: readonly (readonly string[])[];
  /** Pause before each round, ms. */
  readonly roundMs?: number;
  readonly reason?: 'stop' | 'length';
  /** Thrown by start. */
  readonly refusal?: Error;
  /** Pause of start itself, ms. */
  readonly startMs?: number;
  /** Thrown after the rounds, instead of a finish. */
  readonly failure?: Error;
  /** Never finish, and ignore the signal too, after the rounds. */
  readonly hangs?: boolean;
}

export interface FakeCompletions extends CompletionService {
  readonly requests: CompletionRequest[];
  /** Answers whose iteration is over, for whatever reason. */
  ended: number;
  /** Rounds that were pulled. */
  pulled: number;
}

export const fakeMetrics: CompletionMetrics = {
  timeToFirstTokenMs: 12.5,
  generationMs: 100,
  queueMs: 1,
  latencyMs: 112.5,
  predictedLatencyMs: 110,
  predictedQueueMs: 1,
  yieldedMs: 0,
  othersRows: 0,
  othersPrompts: 0,
  tokensPerSecond: 40,
  rounds: 2,
  draftedTokens: 4,
  acceptedTokens: 3,
  meanAcceptedLength: 2.5,
  acceptancePerPosition: [1, 0.5],
  linkBytesPerToken: 88,
  linkMs: 60,
  computeMs: 30,
  draftMs: 2,
  drafters: { ngram: 2 },
  preparedHits: 0,
  preparedMisses: 0,
};

export function fakeCompletions(answer: FakeAnswer | (() => FakeAnswer)): FakeCompletions {
  const service: FakeCompletions = {
    requests: [],
    ended: 0,
    pulled: 0,
    async start(request): Promise<Completion> {
      service.requests.push(request);
      const script = typeof answer === 'function' ? answer() : answer;
      if (script.startMs !== undefined) await wait(script.startMs);
      if (script.refusal !== undefined) throw script.refusal;
      const promptIds = request.promptIds ?? [1, 2, 3, 4, 5, 6, 7];
      const choices = Array.from({ length: request.choices ?? 1 }, (_, choice) =>
        play(script, request, service, choice),
      );
      const rated = promptIds.map((id, i) => (i === 0 ? null : rate(`p${id}`, -i, request)));
      return {
        ...{ promptIds, events: choices[0]!, choices },
        ...(request.promptLogprobs === true && { promptLogprobs: Promise.resolve(rated) }),
      };
    },
  };
  return service;
}

/** A token with the alternatives that were asked for, none of which is the token itself. */
function rate(token: string, logprob: number, request: CompletionRequest): RatedToken {
  const top = Array.from({ length: request.logprobs ?? 0 }, (_, i) => ({
    ...{ token: `alt${i}`, logprob: logprob - i - 1, bytes: [97 + i] },
  }));
  return { token, logprob, bytes: [...Buffer.from(token)], top };
}

async function* play(
  script: FakeAnswer,
  request: CompletionRequest,
  service: FakeCompletions,
  choice: number,
): AsyncGenerator<CompletionEvent> {
  let said = 0;
  try {
    for (const deltas of request.maxTokens === 0 ? [] : script.rounds) {
      if (script.roundMs !== undefined) await wait(script.roundMs, undefined, { signal: request.signal });
      service.pulled += 1;
      const ids = deltas.map((_, index) => 100 + said + index);
      // Later choices are likelier: token i of choice c has -(i + 1) / (c + 1).
      const logprobs = deltas.map((text, i) => rate(text, -(said + i + 1) / (choice + 1), request));
      yield { type: 'text', deltas, ids, ...(request.logprobs !== undefined && { logprobs }) };
      said += deltas.length;
    }
    if (script.hangs === true) await new Promise(() => {});
    if (script.failure !== undefined) throw script.failure;
    yield {
      type: 'finish',
      reason: script.reason ?? 'stop',
      usage: {
        promptTokens: request.promptIds?.length ?? 7,
        completionTokens: said,
        cachedTokens: 2,
        acceptedPredictionTokens: 3,
        rejectedPredictionTokens: 1,
      },
      metrics: fakeMetrics,
      seed: request.seed ?? 42n,
    };
  } finally {
    service.ended += 1;
  }
}
