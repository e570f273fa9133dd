import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { greedy, type Sampling } from '../../../shards/sampler.ts';
import type { DraftModelOptions } from '../../../src/drafting/draft-reader.ts';
import type { Drafter, DraftRequest, Sequence } from '../../../src/drafting/drafter.ts';
import { startLmDrafter } from '../../../src/drafting/lm-drafter.ts';
import { readGguf } from '../../../src/models/gguf.ts';
import { readHeadFile } from '../../../src/models/head-file.ts';
import { packHead } from '../../../src/models/head-pack.ts';
import { eventually } from '../../support/eventually.ts';
import { tinyModel, writeTinyGguf } from '../../support/tiny-gguf.ts';
import { writeTinyHead } from '../../support/tiny-head.ts';

const signal = new AbortController().signal;
const sampled: Sampling = { temperature: 0.9, topK: 0, topP: 1, minP: 0, seed: { low: 11, high: 3 } };
const prompt = Array.from({ length: 100 }, (_, i) => 3 + ((i * 37) % 200));
const scored = Array.from({ length: 100 }, (_, i) => 3 * i + 1);

let directory: string;
let model: DraftModelOptions;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'foretoken-head-'));
  const { path, sha256 } = await writeTinyGguf(join(directory, 'tiny.gguf'));
  const manifest = await writeTinyHead({ directory, targetSha256: sha256, ids: scored });
  const pack = await packHead({
    head: await readHeadFile(manifest),
    target: await readGguf(path),
    targetSha256: sha256,
    packsDirectory: join(directory, 'packs'),
  });
  const limits = { threads: 1, minRows: 2, kvBytesMax: 1 << 26 } as const;
  model = { ...pack, ...limits, targetVocab: tinyModel.vocab, eosIds: [] };
});

after(() => rm(directory, { recursive: true }));

async function withHead(run: (drafter: Drafter) => Promise<void>): Promise<void> {
  const onFailure = (error: Error): void => assert.fail(error);
  const drafter = await startLmDrafter({ name: 'head', model, now: () => performance.now(), onFailure });
  try {
    await run(drafter);
  } finally {
    await drafter.dispose();
  }
}

function sequenceOf(id: string, sampling: Sampling = greedy): Sequence {
  return { id, tokens: prompt, promptLength: prompt.length, prediction: null, owner: 'o', sampling };
}

async function draftOne(drafter: Drafter, request: DraftRequest) {
  return (await drafter.draft([request], signal))[0]!;
}

test('startLmDrafter tells how sure a head is of each token', async () => {
  await withHead(async (drafter) => {
    assert.equal(drafter.name, 'head');
    const draft = await draftOne(drafter, { sequence: sequenceOf('a'), draftTokensMax: 12 });
    assert.deepEqual([draft.source, draft.ids.length, draft.confidence!.length], ['head', 12, 12]);
    assert.ok(draft.ids.every((id) => scored.includes(id)));
    assert.ok(draft.confidence!.every((chance) => chance > 0 && chance <= 1));
  });
});

test('startLmDrafter ends a draft where its chance to be right falls below what was asked', async () => {
  await withHead(async (drafter) => {
    const whole = await draftOne(drafter, { sequence: sequenceOf('a'), draftTokensMax: 12 });
    let reach = 1;
    const reaches = [...whole.confidence!].map((chance) => {
      reach *= chance;
      return reach;
    });
    for (const length of [1, 4, 9]) {
      const reachMin = (reaches[length - 1]! + reaches[length]!) / 2;
      const request = { sequence: sequenceOf(`b${length}`), draftTokensMax: 12, reachMin };
      const draft = await draftOne(drafter, request);
      assert.deepEqual([...draft.ids], [...whole.ids.subarray(0, length)]);
    }
    const never = { sequence: sequenceOf('c'), draftTokensMax: 12, reachMin: 1 };
    assert.equal((await draftOne(drafter, never)).ids.length, 0);
  });
});

test('startLmDrafter draws with the noise of the target among the tokens that a head knows', async () => {
  await withHead(async (drafter) => {
    const request = { sequence: sequenceOf('a', sampled), draftTokensMax: 12, reachMin: 0.5 };
    const draft = await draftOne(drafter, request);
    assert.deepEqual([draft.ids.length, draft.confidence], [12, null]);
    assert.ok(draft.ids.every((id) => scored.includes(id)));
    const again = await draftOne(drafter, { ...request, sequence: sequenceOf('b', sampled) });
    assert.deepEqual([...again.ids], [...draft.ids]);
    const seed = { low: 12, high: 3 };
    const other = await draftOne(drafter, { ...request, sequence: sequenceOf('c', { ...sampled, seed }) });
    assert.notDeepEqual([...other.ids], [...draft.ids]);
  });
});

for (const [kind, sampling] of [
  ['greedily', greedy],
  ['with noise', sampled],
] as const) {
  test(`startLmDrafter writes for likely outcomes what it would write when they come, ${kind}`, async () => {
    await withHead(async (drafter) => {
      const before = sequenceOf('a', sampling);
      const draft = await draftOne(drafter, { sequence: before, draftTokensMax: 3 });
      // Guesses of which nobody knows more than what the head thinks of them, each as likely right as wrong.
      const guesses = [...draft.ids].map((id) => ({ id, chance: 0.5 }));
      drafter.prepare!({ sequence: before, guesses, draftTokensMax: 5, tokensMax: 60 });
      const outcomes: number[][] = [];
      const findings = (after: number): number[][] =>
        scored
          .map((id) => [...prompt, ...draft.ids.slice(0, after), id])
          .filter((tokens) => drafter.draftNow!(after3(tokens)) !== null);
      const after3 = (tokens: readonly number[]): DraftRequest => ({
        sequence: { ...before, tokens },
        draftTokensMax: 3,
      });
      await eventually('outcomes are drafted for', () => {
        outcomes.splice(0, outcomes.length, ...[0, 1, 2, 3].flatMap(findings));
        return outcomes.length >= 4;
      });
      const lengths = new Set(outcomes.map((tokens) => tokens.length));
      assert.ok(lengths.size > 1, 'after guesses of different number');
      for (const tokens of outcomes) {
        const ready = drafter.draftNow!(after3(tokens))!;
        const sequence = { ...before, id: `fresh ${tokens}`, tokens };
        const written = await draftOne(drafter, { sequence, draftTokensMax: 3 });
        assert.deepEqual([[...ready.ids], ready.prepared], [[...written.ids], true]);
        assert.deepEqual(ready.confidence === null, sampling !== greedy);
      }
    });
  });
}

test('startLmDrafter goes on where a prepared draft ends, and says so where there was none', async () => {
  await withHead(async (drafter) => {
    const before = sequenceOf('a');
    const guess = { id: scored[7]!, chance: 0.5 };
    drafter.prepare!({ sequence: before, guesses: [guess], draftTokensMax: 2, tokensMax: 60 });
    const short = (id: number): DraftRequest => ({
      sequence: { ...before, tokens: [...prompt, id] },
      draftTokensMax: 2,
    });
    let hit = -1;
    await eventually('one outcome is drafted for', () => {
      hit = scored.find((id) => drafter.draftNow!(short(id)) !== null) ?? -1;
      return hit !== -1;
    });
    const longer = { ...short(hit), draftTokensMax: 6 };
    assert.equal(drafter.draftNow!(longer), null);
    assert.deepEqual([...drafter.draftNow!({ ...longer, pipelined: true })!.ids].length, 2);
    const whole = await draftOne(drafter, longer);
    const fresh = await draftOne(drafter, { ...longer, sequence: { ...longer.sequence, id: 'fresh' } });
    assert.deepEqual([[...whole.ids], whole.prepared], [[...fresh.ids], true]);
    assert.deepEqual(whole.confidence!.length, 6);
    const missed = scored.find((id) => id !== guess.id && drafter.draftNow!(short(id)) === null)!;
    assert.equal((await draftOne(drafter, short(missed))).prepared, false);
    assert.equal(fresh.prepared, undefined);
  });
});

test('startLmDrafter prepares nothing where laws are told, and forgets with its sequence', async () => {
  await withHead(async (drafter) => {
    const told = { ...sequenceOf('a', sampled), draftPairs: 8 };
    const guesses = [{ id: scored[7]!, chance: 0.5 }];
    drafter.prepare!({ sequence: told, guesses, draftTokensMax: 2, tokensMax: 60 });
    const plain = sequenceOf('b');
    drafter.prepare!({ sequence: plain, guesses, draftTokensMax: 2, tokensMax: 60 });
    const ready = (sequence: Sequence): boolean =>
      scored.some(
        (id) =>
          drafter.draftNow!({ sequence: { ...sequence, tokens: [...prompt, id] }, draftTokensMax: 1 }) !==
          null,
      );
    await eventually('the other is prepared for', () => ready(plain));
    assert.equal(ready(told), false);
    drafter.close(plain);
    assert.equal(ready(plain), false);
  });
});
