/**
 * The step loop under a seed: many sessions over a simulated ring with random delays, drafts that are right or wrong
 * at random, gaps, clients that leave. Every answer that ends is that of plain decoding, and nothing is left open.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { greedy } from '../../shards/sampler.ts';
import {
  type Draft,
  type Drafter,
  type DraftRequest,
  emptyDraft,
  newDraftCounters,
} from '../../src/drafting/drafter.ts';
import { createScheduler } from '../../src/engine/scheduler.ts';
import { eventually } from '../support/eventually.ts';
import { generate } from '../support/generate.ts';
import { seededRandom } from '../support/random-blocks.ts';
import { createSimRing, simTarget } from '../support/sim-ring.ts';

const vocab = 50;
const seeds = 300;

/**
 * Drafts what the target will say, each token wrong with some chance; takes its time, unless it prepared for what came:
 * then, now and then, the draft is there.
 */
function wobblyDrafter(random: () => number, counts: { hits: number }): Drafter {
  const preparedFor = new Set<string>();
  const write = ({ sequence, draftTokensMax, ahead }: DraftRequest): Draft => {
    const known = [...sequence.tokens, ...(ahead?.ids ?? [])];
    const wanted = Math.min(draftTokensMax, Math.floor(random() * 9));
    const ids: number[] = [];
    while (ids.length < wanted) {
      const right = simTarget([...known, ...ids], vocab);
      ids.push(random() < 0.15 ? (right + 1) % vocab : right);
    }
    return { ...emptyDraft, ids: Uint32Array.from(ids), source: 'ngram', reach: 0.85 ** ids.length };
  };
  return {
    name: 'ngram',
    counters: newDraftCounters(),
    open() {},
    observe(_sequence, { draft, verdict }) {
      assert.ok(verdict.accepted <= draft.ids.length);
    },
    async draft(requests) {
      const turns = Math.floor(random() * 12);
      for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
      return requests.map(write);
    },
    draftNow(request) {
      if (!preparedFor.has(request.sequence.id) || random() < 0.5) return null;
      counts.hits += 1;
      return { ...write(request), prepared: true };
    },
    prepare({ sequence, guesses }) {
      assert.ok(guesses.every(({ chance }) => chance > 0 && chance <= 1));
      preparedFor.add(sequence.id);
    },
    close() {},
    async dispose() {},
  };
}

function plainIds(promptIds: readonly number[], count: number): number[] {
  const tokens = [...promptIds];
  while (tokens.length < promptIds.length + count) tokens.push(simTarget(tokens, vocab));
  return tokens.slice(promptIds.length);
}

test(`every answer is that of plain decoding, for ${seeds} seeds`, async () => {
  const counts = { hits: 0 };
  for (let seed = 1; seed <= seeds; seed++) {
    const random = seededRandom(seed);
    const ring = createSimRing({ vocab, random, gapChance: seed % 3 === 0 ? 0.05 : 0 });
    let ids = 0;
    const scheduler = createScheduler({
      ring,
      drafter: wobblyDrafter(random, counts),
      limits: { runningMax: 3, queuedMax: 16 },
      now: () => performance.now(),
      newSessionId: () => `s${ids++}`,
    });
    const answers = Array.from({ length: 5 }, async (_, i) => {
      const promptIds = Array.from({ length: 1 + Math.floor(random() * 150) }, () =>
        Math.floor(random() * vocab),
      );
      const maxTokens = 1 + Math.floor(random() * 40);
      const rounds = (['sync', 'async', 'auto'] as const)[(seed + i) % 3]!;
      const result = await generate(
        { scheduler },
        {
          ...{ promptIds, sampling: greedy, maxTokens },
          policy: { drafter: 'auto', draftLength: 'auto', rounds },
        },
      );
      assert.deepEqual(result.ids, plainIds(promptIds, maxTokens), `seed ${seed}, ${rounds}`);
      const counted = result.stats.rounds.reduce((sum, { committed }) => sum + committed, 0);
      assert.equal(counted, maxTokens, `seed ${seed}: committed tokens are counted once`);
    });
    await Promise.all(answers);
    await eventually('the ring is empty', () => ring.openSessions() === 0);
    await scheduler.close();
  }
  assert.ok(counts.hits > seeds, 'drafts were at hand');
});
