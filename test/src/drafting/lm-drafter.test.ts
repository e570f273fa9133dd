import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { ShardEngine } from '../../../shards/engine.ts';
import { createLocalEngine, type EngineOptions } from '../../../shards/local-engine.ts';
import { greedy, type Sampling } from '../../../shards/sampler.ts';
import type { Verdict } from '../../../shards/verify.ts';
import type { DraftModelOptions } from '../../../src/drafting/draft-reader.ts';
import type { Draft, Drafter, Sequence } from '../../../src/drafting/drafter.ts';
import { startLmDrafter } from '../../../src/drafting/lm-drafter.ts';
import { readGguf } from '../../../src/models/gguf.ts';
import { packShard } from '../../../src/models/pack.ts';
import { forwardAlone } from '../../support/forward-alone.ts';
import { tinyModel, writeTinyGguf } from '../../support/tiny-gguf.ts';

const signal = new AbortController().signal;
const sampled: Sampling = { temperature: 0.9, topK: 0, topP: 1, minP: 0, seed: { low: 11, high: 3 } };
const prompt = Array.from({ length: 150 }, (_, i) => 3 + ((i * 37) % 200));

let directory: string;
let engineOptions: EngineOptions;
let modelOptions: DraftModelOptions;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'foretoken-lm-'));
  const { path, sha256 } = await writeTinyGguf(join(directory, 'tiny.gguf'));
  const range = { start: 0, end: tinyModel.layers };
  const pack = await packShard({
    file: await readGguf(path),
    sha256,
    modelName: 'tiny',
    range,
    quantisation: 'fp32',
    directory: join(directory, 'pack'),
  });
  const { onnxPath, dims } = pack;
  // Two rows in every pass: some machines give a single row other bits, and here drafts must match exactly.
  engineOptions = { onnxPath, dims, range, threads: 1, minRows: 2, kvBytesMax: 1 << 26 };
  modelOptions = { ...engineOptions, targetVocab: dims.vocab, eosIds: [] };
});

after(() => rm(directory, { recursive: true }));

async function withDrafter(
  overrides: Partial<DraftModelOptions>,
  run: (drafter: Drafter, failures: Error[]) => Promise<void>,
): Promise<void> {
  const failures: Error[] = [];
  const drafter = await startLmDrafter({
    model: { ...modelOptions, ...overrides },
    now: () => performance.now(),
    onFailure: (error) => failures.push(error),
  });
  try {
    await run(drafter, failures);
  } finally {
    await drafter.dispose();
  }
}

function sequenceOf(id: string, tokens: readonly number[], sampling: Sampling = greedy): Sequence {
  return { id, tokens, promptLength: prompt.length, prediction: null, owner: 'o', sampling };
}

async function draftOne(drafter: Drafter, sequence: Sequence, draftTokensMax: number): Promise<Draft> {
  return (await drafter.draft([{ sequence, draftTokensMax }], signal))[0]!;
}

/** One target session: `verify` runs the last committed token and the draft. */
async function openTarget(
  engine: ShardEngine,
  sampling: Sampling,
): Promise<(tokens: number[], draft: Draft) => Promise<Verdict>> {
  await engine.open('t', null);
  await engine.openTail('t', {
    sampling,
    promptLength: prompt.length,
    eosIds: [],
    minTokens: 0,
    ignoreEos: true,
  });
  const ids = Uint32Array.from(prompt.slice(0, -1));
  await forwardAlone(engine, { session: 't', position: 0, ids, hidden: null, headFrom: ids.length });
  return async (tokens, draft) => {
    const position = tokens.length - 1;
    const rows = Uint32Array.of(tokens[position]!, ...draft.ids);
    return (await forwardAlone(engine, { session: 't', position, ids: rows, hidden: null, headFrom: 0 }))
      .verdict!;
  };
}

for (const [name, sampling] of Object.entries({ greedy, sampled })) {
  test(`startLmDrafter drafts for its own model what the model says: ${name}`, async () => {
    const engine = await createLocalEngine(engineOptions);
    await withDrafter({}, async (drafter) => {
      const target = await openTarget(engine, sampling);
      const tokens = [...prompt];
      const sequence = sequenceOf('a', tokens, sampling);
      drafter.open(sequence);
      for (let round = 0; round < 6; round++) {
        const draft = await draftOne(drafter, sequence, 5);
        assert.deepEqual([draft.ids.length, draft.source], [5, 'lm']);
        const verdict = await target(tokens, draft);
        assert.equal(verdict.accepted, 5);
        tokens.push(...verdict.ids);
        drafter.observe(sequence, { draft, verdict, roundMs: 1 });
      }
      assert.deepEqual(drafter.counters.acceptedAt, [6, 6, 6, 6, 6]);
    });
    await engine.dispose();
  });
}

test('startLmDrafter rolls back to what was committed', async () => {
  await withDrafter({}, async (drafter) => {
    const tokens = [...prompt];
    const sequence = sequenceOf('a', tokens);
    const first = await draftOne(drafter, sequence, 8);
    // Three tokens of the draft are right, then the target says something else.
    tokens.push(...first.ids.subarray(0, 3), (first.ids[3]! + 1) % 200);
    const again = await draftOne(drafter, sequence, 8);
    const fresh = await draftOne(drafter, sequenceOf('b', [...tokens]), 8);
    assert.deepEqual([...again.ids], [...fresh.ids]);
  });
});

test('startLmDrafter drafts for many sequences under a small budget', async () => {
  // Room for about three sequences of 256 positions: the others are read again when their turn comes.
  const perPosition = 2 * tinyModel.layers * tinyModel.kvHeads * tinyModel.headDim * 4;
  await withDrafter({ kvBytesMax: 3 * 256 * perPosition }, async (drafter, failures) => {
    const sequences = Array.from({ length: 6 }, (_, i) => sequenceOf(`s${i}`, [i + 5, ...prompt]));
    for (const sequence of sequences) drafter.open(sequence);
    const requests = sequences.map((sequence) => ({ sequence, draftTokensMax: 4 }));
    const once = await drafter.draft(requests, signal);
    const twice = await drafter.draft(requests, signal);
    assert.deepEqual(
      twice.map(({ ids }) => [...ids]),
      once.map(({ ids }) => [...ids]),
    );
    assert.ok(once.every(({ ids }) => ids.length === 4));
    assert.deepEqual(failures, []);
  });
});

test('startLmDrafter stops at end tokens, padding and the end of the context', async () => {
  let ids: number[] = [];
  await withDrafter({}, async (drafter) => {
    ids = [...(await draftOne(drafter, sequenceOf('a', prompt), 8)).ids];
    const almostFull = Array.from({ length: tinyModel.contextLength - 2 }, (_, i) => 3 + (i % 200));
    assert.equal((await draftOne(drafter, sequenceOf('b', almostFull), 8)).ids.length, 2);
    assert.equal((await draftOne(drafter, sequenceOf('c', [...almostFull, 1, 1, 1]), 8)).ids.length, 0);
    assert.equal((await draftOne(drafter, sequenceOf('d', [5, 100_000]), 8)).ids.length, 0);
    assert.equal((await draftOne(drafter, sequenceOf('e', prompt), 0)).ids.length, 0);
  });
  const end = ids[2]!;
  const upToEnd = ids.slice(0, ids.indexOf(end) + 1);
  await withDrafter({ eosIds: [end] }, async (drafter) => {
    assert.deepEqual([...(await draftOne(drafter, sequenceOf('a', prompt), 8)).ids], upToEnd);
  });
  const biggest = Math.max(...ids);
  await withDrafter({ targetVocab: biggest }, async (drafter) => {
    const draft = await draftOne(drafter, sequenceOf('a', prompt), 8);
    assert.deepEqual([...draft.ids], ids.slice(0, ids.indexOf(biggest)));
  });
});

test('startLmDrafter lets go at once when aborted and goes on afterwards', async () => {
  await withDrafter({}, async (drafter) => {
    const sequence = sequenceOf('a', prompt);
    const abort = new AbortController();
    const draft = drafter.draft([{ sequence, draftTokensMax: 64 }], abort.signal);
    abort.abort(new Error('client left'));
    await assert.rejects(draft, /client left/);
    drafter.close(sequence);
    assert.equal((await draftOne(drafter, sequence, 3)).ids.length, 3);
  });
});

test('startLmDrafter reports a sequence that does not fit and drafts nothing for it', async () => {
  await withDrafter({ kvBytesMax: 1000 }, async (drafter, failures) => {
    for (let round = 0; round < 3; round++) {
      assert.equal((await draftOne(drafter, sequenceOf('a', prompt), 4)).ids.length, 0);
    }
    assert.equal(failures.length, 1);
    assert.match(failures[0]!.message, /draft model failed/);
  });
});

test('startLmDrafter says why a model cannot be loaded', async () => {
  const start = startLmDrafter({
    model: { ...modelOptions, onnxPath: join(directory, 'missing.onnx') },
    now: () => 0,
    onFailure: () => {},
  });
  await assert.rejects(start, /cannot be loaded/);
});
