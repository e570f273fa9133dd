/** The step loop where something goes wrong: what one answer fails at is its own end, and no matter of the others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { greedy } from '../../../shards/sampler.ts';
import type { Drafter } from '../../../src/drafting/drafter.ts';
import { createNoneDrafter } from '../../../src/drafting/none-drafter.ts';
import { createScheduler, type SchedulerOptions } from '../../../src/engine/scheduler.ts';
import { eventually } from '../../support/eventually.ts';
import { generate } from '../../support/generate.ts';
import { createSimRing } from '../../support/sim-ring.ts';

const request = {
  ...{ promptIds: [1, 2, 3], sampling: greedy, maxTokens: 12 },
  policy: { drafter: 'auto', draftLength: 'auto' },
} as const;

function start(drafter: Drafter, ring: Partial<SchedulerOptions['ring']> = {}) {
  const sim = createSimRing({ vocab: 50, random: () => 0.5 });
  let sessions = 0;
  const scheduler = createScheduler({
    ...{ ring: { ...sim, ...ring }, drafter, limits: { runningMax: 4, queuedMax: 4 } },
    ...{ now: () => performance.now(), newSessionId: () => `s${sessions++}` },
  });
  return { scheduler, sim };
}

async function firstFailsAlone({ scheduler, sim }: ReturnType<typeof start>, onCommit = () => {}) {
  const failing = generate({ scheduler }, { ...request, onCommit });
  const other = generate({ scheduler }, request);
  await assert.rejects(failing, /by itself/);
  assert.equal((await other).ids.length, 12);
  assert.deepEqual(scheduler.load(), { running: 0, waiting: 0 });
  await eventually('the ring is empty', () => sim.openSessions() === 0);
  await scheduler.close();
}

test('createScheduler ends an answer whose sink throws, and goes on with the others', async () => {
  await firstFailsAlone(start(createNoneDrafter()), () => {
    throw new Error('by itself');
  });
});

for (const verb of ['open', 'draftNow', 'prepare', 'observe'] as const) {
  test(`createScheduler ends an answer for which a drafter throws in ${verb}, and goes on with the others`, async () => {
    const failsFor = (id: string): null => {
      if (id === 's0') throw new Error('by itself');
      return null;
    };
    const verbs: Partial<Drafter> = {
      open: ({ id }) => void failsFor(id),
      draftNow: ({ sequence }) => failsFor(sequence.id),
      prepare: ({ sequence }) => void failsFor(sequence.id),
      observe: ({ id }) => void failsFor(id),
    };
    await firstFailsAlone(start({ ...createNoneDrafter(), [verb]: verbs[verb] }));
  });
}
