import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { greedy, type Sampling } from '../../../shards/sampler.ts';
import type { DraftModelOptions } from '../../../src/drafting/draft-model.ts';
import type { Drafter, DraftRequest, Sequence } from '../../../src/drafting/drafter.ts';
import { startLmDrafter } from '../../../src/drafting/lm-drafter.ts';
import { readGguf } from '../../../src/models/gguf.ts';
import { readHeadFile } from '../../../src/models/head-file.ts';
import { packHead } from '../../../src/models/head-pack.ts';
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
  model = { ...pack, ...limits, targetVocab: tinyModel.vocab, eosIds: [], confident: true };
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
