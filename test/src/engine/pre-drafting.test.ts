/** Drafts that are there before the verdict: what is prepared for, when, and that they leave at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { greedy } from '../../../shards/sampler.ts';
import type { Verdict } from '../../../shards/verify.ts';
import {
  type Draft,
  type Drafter,
  emptyDraft,
  newDraftCounters,
  type PrepareRequest,
} from '../../../src/drafting/drafter.ts';
import { preparedTokens } from '../../../src/engine/prepared-tokens.ts';
import type { Frame, Ring, RingHandlers } from '../../../src/engine/ring.ts';
import { createScheduler } from '../../../src/engine/scheduler.ts';
import { generate } from '../../support/generate.ts';

/** A ring that keeps frames until the test answers them. */
function scriptedRing(): { ring: Ring; frames: Frame[]; answer(frame: Frame, ids: number[]): void } {
  const frames: Frame[] = [];
  let handlers: RingHandlers | null = null;
  const ring: Ring = {
    stages: () => 2,
    open(_options, told) {
      handlers = told;
      return { forward: (frame) => frames.push(frame), linkBytes: () => 0, close() {} };
    },
  };
  return {
    ring,
    frames,
    answer({ epoch, round, position, headFrom }, ids) {
      const verdict: Verdict = {
        accepted: ids.length - 1,
        ids: Uint32Array.from(ids),
        kind: 'recovered',
        finished: false,
      };
      handlers!.onVerdict({ epoch, round, position: position + headFrom + 1, verdict, stages: [] });
    },
  };
}

/** Drafts 7 8 9 when asked, after a while; has 5 6 at hand where the target said 3. */
function scriptedDrafter(): { drafter: Drafter; prepared: PrepareRequest[]; asked: () => number } {
  const prepared: PrepareRequest[] = [];
  let asked = 0;
  const draftOf = (ids: number[], rest: Partial<Draft>): Draft => ({
    ...emptyDraft,
    ...{ ids: Uint32Array.from(ids), source: 'head', reach: 0.5, chances: ids.map(() => 0.8) },
    ...rest,
  });
  const drafter: Drafter = {
    name: 'head',
    counters: newDraftCounters(),
    open() {},
    observe() {},
    async draft(requests) {
      asked += 1;
      await setImmediate();
      const told = prepared.length > 0 ? { prepared: false } : {};
      return requests.map(({ draftTokensMax }) => draftOf([7, 8, 9].slice(0, draftTokensMax), told));
    },
    draftNow: ({ sequence }) => (sequence.tokens.at(-1) === 3 ? draftOf([5, 6], { prepared: true }) : null),
    prepare: (request) => void prepared.push(request),
    close() {},
    async dispose() {},
  };
  return { drafter, prepared, asked: () => asked };
}

function start(preDrafting?: boolean) {
  const { ring, frames, answer } = scriptedRing();
  const { drafter, prepared, asked } = scriptedDrafter();
  const scheduler = createScheduler({
    ...{ ring, drafter, limits: { runningMax: 4, queuedMax: 4 } },
    ...{ now: () => 0, newSessionId: () => 's' },
  });
  const answered = generate(
    { scheduler },
    {
      ...{ promptIds: [1, 2], sampling: greedy, maxTokens: 6 },
      policy: {
        ...{ drafter: 'head', draftLength: 3, rounds: 'sync' },
        ...(preDrafting !== undefined && { preDrafting }),
      },
    },
  );
  const turns = async (count: number): Promise<void> => {
    for (let turn = 0; turn < count; turn++) await setImmediate();
  };
  return { frames, answer, prepared, asked, answered, turns };
}

test('createScheduler has outcomes prepared while a round is under way, and sends what is there at once', async () => {
  const { frames, answer, prepared, asked, answered, turns } = start();
  await turns(4);
  assert.deepEqual([[...frames[0]!.ids], asked()], [[1, 2, 7, 8, 9], 1]);
  assert.equal(prepared.length, 1, 'once a round');
  assert.deepEqual(
    prepared[0]!.guesses,
    [7, 8, 9].map((id) => ({ id, chance: 0.8 })),
  );
  assert.equal(prepared[0]!.tokensMax, preparedTokens(1));
  answer(frames[0]!, [7, 3]);
  await turns(1);
  assert.deepEqual([[...frames[1]!.ids], asked()], [[3, 5, 6], 1], 'in the step of the verdict');
  assert.equal(prepared.length, 2);
  answer(frames[1]!, [5, 4]);
  await turns(1);
  assert.equal(frames.length, 2, 'this one has to be asked for');
  await turns(4);
  assert.deepEqual([[...frames[2]!.ids], asked()], [[4, 7], 2]);
  answer(frames[2]!, [7, 1]);
  const { ids, stats } = await answered;
  assert.deepEqual(ids, [7, 3, 5, 4, 7, 1]);
  assert.deepEqual(
    stats.rounds.map((round) => round.prepared),
    [null, true, false],
  );
});

test('createScheduler prepares nothing for a request that does not want it', async () => {
  const { frames, answer, prepared, answered, turns } = start(false);
  await turns(4);
  answer(frames[0]!, [7, 3]);
  await turns(4);
  answer(frames[1]!, [5, 6, 1]);
  await turns(4);
  answer(frames[2]!, [1]);
  await answered;
  assert.equal(prepared.length, 0);
});

test('preparedTokens shrinks with every session, to none', () => {
  const shares = [0, 1, 2, 3, 4, 5, 6, 7, 8].map(preparedTokens);
  assert.deepEqual(
    shares,
    [...shares].sort((a, b) => b - a),
  );
  assert.ok(shares[1]! >= 40 && shares[4]! > 0, `${shares}`);
  assert.equal(shares[5], 0);
});
