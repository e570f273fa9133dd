/** Sessions that outgrow the memory of a simulated ring: who goes off it comes back, and all come to their end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { greedy } from '../../shards/sampler.ts';
import { createNoneDrafter } from '../../src/drafting/none-drafter.ts';
import { createScheduler } from '../../src/engine/scheduler.ts';
import { eventually } from '../support/eventually.ts';
import { generate } from '../support/generate.ts';
import { seededRandom } from '../support/random-blocks.ts';
import { createSimRing, simTarget } from '../support/sim-ring.ts';

const vocab = 50;
const seeds = 12;
/** Less than two of the longest answers. */
const kvPositions = 700;

test(`answers outgrow the memory and are those of plain decoding, for ${seeds} seeds`, async () => {
  let reopened = 0;
  for (let seed = 1; seed <= seeds; seed++) {
    const random = seededRandom(seed);
    const ring = createSimRing({ vocab, random, gapChance: seed % 3 === 0 ? 0.02 : 0 });
    let ids = 0;
    let opened = 0;
    const scheduler = createScheduler({
      ring: {
        ...ring,
        open(...args) {
          opened += 1;
          return ring.open(...args);
        },
      },
      drafter: createNoneDrafter(),
      limits: { runningMax: 4, queuedMax: 16 },
      kvPositions: () => kvPositions,
      now: () => performance.now(),
      newSessionId: () => `s${ids++}`,
    });
    const sessions = 6;
    await Promise.all(
      Array.from({ length: sessions }, async () => {
        const promptIds = Array.from({ length: 1 + Math.floor(random() * 100) }, () =>
          Math.floor(random() * vocab),
        );
        const maxTokens = 200 + Math.floor(random() * 300);
        const policy = { drafter: 'none', draftLength: 0, rounds: 'sync' } as const;
        const { ids } = await generate({ scheduler }, { promptIds, sampling: greedy, maxTokens, policy });
        const tokens = [...promptIds];
        while (tokens.length < promptIds.length + maxTokens) tokens.push(simTarget(tokens, vocab));
        assert.deepEqual(ids, tokens.slice(promptIds.length), `seed ${seed}`);
      }),
    );
    reopened += opened - sessions;
    await eventually('the ring is empty', () => ring.openSessions() === 0);
    await scheduler.close();
  }
  assert.ok(reopened > seeds, `sessions came back ${reopened} times`);
});
