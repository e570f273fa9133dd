/** Rounds by hand: what a worker lost is sent again, and what that took is not mistaken for the links' or for yielding. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { greedy } from '../../../shards/sampler.ts';
import { createNoneDrafter } from '../../../src/drafting/none-drafter.ts';
import { idleRing } from '../../../src/engine/latency-model.ts';
import type { Frame, Ring, RingHandlers } from '../../../src/engine/ring.ts';
import { createScheduler } from '../../../src/engine/scheduler.ts';
import type { SessionStats } from '../../../src/engine/session-stats.ts';

const policy = { drafter: 'none', draftLength: 0, rounds: 'sync' } as const;

/** A scheduler under a clock that the test sets, over a ring that keeps frames until the test answers them. */
function start(request: { readonly maxTokens: number; readonly scorePrompt?: boolean }) {
  const frames: Frame[] = [];
  const time = { nowMs: 0 };
  let handlers: RingHandlers | null = null;
  const ring: Ring = {
    stages: () => 1,
    open(_options, told) {
      handlers = told;
      return { forward: (frame) => void frames.push(frame), linkBytes: () => 0, close() {} };
    },
  };
  const scheduler = createScheduler({
    ...{ ring, drafter: createNoneDrafter(), limits: { runningMax: 4, queuedMax: 4 } },
    ...{ now: () => time.nowMs, newSessionId: () => 's' },
  });
  const ended = new Promise<SessionStats>((resolve, reject) => {
    scheduler.submit({
      ...{ promptIds: Array.from({ length: 100 }, (_, i) => i), sampling: greedy, minTokens: 0 },
      ...{ ignoreEos: true, eosIds: [], prediction: null, owner: 'a', speculation: policy },
      signal: new AbortController().signal,
      sink: {
        commit: () => null,
        backlogTokens: () => 0,
        end: (_reason, stats) => resolve(stats),
        fail: reject,
      },
      ...request,
    });
  });
  /** Lets what was posted be settled, and what follows from it be sent. */
  const turns = async (): Promise<void> => {
    for (let turn = 0; turn < 4; turn++) await setImmediate();
  };
  return {
    ...{ scheduler, frames, ended, turns, handlers: () => handlers! },
    /** The last frame's verdict, when its pass of 10 ms and the rest of the way have taken so long. */
    async answer(afterMs: number): Promise<void> {
      time.nowMs += afterMs;
      const { epoch, round, position, ids } = frames.at(-1)!;
      const verdict = { accepted: 0, ids: Uint32Array.of(7), kind: 'bonus', finished: false } as const;
      const stages = [{ queueUs: 0, runUs: 10_000, passRows: ids.length, passSessions: 1 }];
      handlers!.onVerdict({ epoch, round, position: position + ids.length, verdict, stages });
      await turns();
    },
    async lose(afterMs: number, length: number): Promise<void> {
      time.nowMs += afterMs;
      handlers!.onGap({ epoch: frames.at(-1)!.epoch, length });
      await turns();
    },
  };
}

test('rows that are sent again are no time of the links, no yielding, and the prompt only once', async () => {
  const { scheduler, frames, ended, turns, answer, lose } = start({ maxTokens: 4 });
  await turns();
  assert.deepEqual(
    frames.map(({ ids }) => ids.length),
    [64, 36],
  );
  await answer(300);
  await answer(100);
  assert.equal(scheduler.latency.terms().linksMs, 90);
  await lose(40, 0);
  assert.deepEqual(
    frames.slice(-2).map(({ position, ids }) => [position, ids.length]),
    [
      [0, 64],
      [64, 38],
    ],
  );
  await answer(400);
  assert.equal(scheduler.latency.terms().linksMs, 90);
  await answer(100);
  const { rounds, yieldedMs } = await ended;
  assert.equal(yieldedMs, 0);
  assert.deepEqual(
    rounds.map(({ opening, roundMs }) => [opening, roundMs]),
    [
      [true, 300],
      [false, 100],
      [false, 440],
      [false, 100],
    ],
  );
});

test('the first verdict is foretold by what others have under way, not by the own prompt', async () => {
  const { scheduler, ended, turns, answer } = start({ maxTokens: 1 });
  await turns();
  const predictedMs = scheduler.latency.prefillMs(100, idleRing);
  await answer(300);
  assert.equal((await ended).predictedPrefillMs, predictedMs);
});

test('who only wants scores is sent no round behind what a worker has lost', async () => {
  const { frames, ended, turns, lose, handlers } = start({ maxTokens: 0, scorePrompt: true });
  await turns();
  await lose(40, 0);
  assert.ok(frames.length >= 2 && frames.every(({ scores }) => scores === true));
  const own = new Float32Array(99);
  handlers().onScores!(1, { top: 0, own, topIds: new Uint32Array(0), topLogprobs: new Float32Array(0) });
  assert.deepEqual((await ended).rounds, []);
});
