/** The seam's promises on a tiny model: verdicts are plain decoding, errors are told before anything is lost. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { ShardEngine, TailOptions } from '../../shards/engine.ts';
import { createLocalEngine, type EngineOptions } from '../../shards/local-engine.ts';
import { greedy, type Sampling } from '../../shards/sampler.ts';
import { forwardAlone } from '../support/forward-alone.ts';
import { packRanges } from '../support/shard-chain.ts';
import { tinyModel, writeTinyGguf } from '../support/tiny-gguf.ts';

let folder: string;
let whole: EngineOptions;
let halves: EngineOptions[];
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foretoken-engine-'));
  const { path } = await writeTinyGguf(join(folder, 'model.gguf'));
  const common = { threads: 1, minRows: 2, kvBytesMax: 64e6 } as const;
  const packs = async (cuts: number[]): Promise<EngineOptions[]> =>
    (await packRanges(path, folder, cuts, 'native')).map(({ onnxPath, dims, range }) => ({
      onnxPath,
      dims,
      range,
      ...common,
    }));
  [whole] = (await packs([])) as [EngineOptions];
  halves = await packs([2]);
});
after(() => rm(folder, { recursive: true, force: true }));

const prompt = [3, 50, 300, 17, 17, 8];
const sampled: Sampling = { temperature: 1.1, topK: 0, topP: 0.95, minP: 0, seed: { low: 5, high: 6 } };
const tailOptions = (options: Partial<TailOptions> = {}): TailOptions => ({
  sampling: greedy,
  promptLength: prompt.length,
  eosIds: [],
  minTokens: 0,
  ignoreEos: false,
  ...options,
});

async function withEngine(
  options: EngineOptions,
  use: (engine: ShardEngine) => Promise<void>,
): Promise<void> {
  const engine = await createLocalEngine(options);
  try {
    await use(engine);
  } finally {
    await engine.dispose();
  }
}

/** Plain decoding: one row a pass behind a prefill without its last token. */
async function decodePlainly(engine: ShardEngine, options: TailOptions, count: number): Promise<number[]> {
  await engine.open('plain', null);
  await engine.openTail('plain', options);
  const prefix = Uint32Array.from(prompt.slice(0, -1));
  const prefill = await forwardAlone(engine, {
    session: 'plain',
    position: 0,
    ids: prefix,
    hidden: null,
    headFrom: prefix.length,
  });
  assert.equal(prefill.verdict, null);
  const tokens = [...prompt];
  for (let i = 0; i < count; i++) {
    const ids = Uint32Array.of(tokens.at(-1)!);
    const pass = { session: 'plain', position: tokens.length - 1, ids, hidden: null, headFrom: 0 };
    const { verdict } = await forwardAlone(engine, pass);
    assert.equal(verdict!.ids.length, 1);
    tokens.push(verdict!.ids[0]!);
    if (verdict!.finished) break;
  }
  await engine.close('plain', 'free');
  return tokens;
}

/** Speculative decoding over a chain of engines, with drafts that are right for a made-up number of tokens. */
async function decodeSpeculatively(
  engines: ShardEngine[],
  options: TailOptions,
  expected: number[],
): Promise<number[]> {
  for (const engine of engines) await engine.open('drafted', null);
  await engines.at(-1)!.openTail('drafted', options);
  const tokens = [...prompt];
  for (let round = 0; tokens.length < expected.length; round++) {
    const position = round === 0 ? 0 : tokens.length - 1;
    const guess = expected.slice(tokens.length, tokens.length + (round % 6));
    if (guess.length > 0 && round % 3 === 1) guess[guess.length - 1]! = (guess.at(-1)! + 1) % tinyModel.vocab;
    const ids = Uint32Array.from([...tokens.slice(position), ...guess]);
    const headFrom = tokens.length - 1 - position;
    let hidden: Float32Array | null = null;
    for (const engine of engines) {
      const result = await forwardAlone(engine, { session: 'drafted', position, ids, hidden, headFrom });
      hidden = result.hidden;
      if (result.verdict !== null) tokens.push(...result.verdict.ids);
    }
  }
  return tokens.slice(0, expected.length);
}

const penalties = { frequency: 0.7, presence: 0.4, repetition: 1.3 };
const logitBias = [
  { id: 17, bias: 3 },
  { id: 50, bias: -100 },
  { id: 4_000_000, bias: 1 },
];
const cases: Record<string, Partial<TailOptions>> = {
  greedy: { sampling: greedy },
  sampled: { sampling: sampled },
  'greedy, penalties': { sampling: greedy, penalties },
  'sampled, penalties and logit_bias': { sampling: sampled, penalties, logitBias },
  'greedy, logit_bias': { sampling: greedy, logitBias },
};

for (const [name, part] of Object.entries(cases)) {
  test(`LocalEngine commits what plain decoding commits: ${name}`, async () => {
    const options = tailOptions(part);
    let plain: number[] = [];
    await withEngine(whole, async (engine) => {
      plain = await decodePlainly(engine, options, 60);
      assert.deepEqual(await decodeSpeculatively([engine], options, plain), plain);
    });
    assert.ok(new Set(plain.slice(prompt.length)).size > 3, 'the tiny model should not be stuck');
    await withEngine(halves[0]!, (first) =>
      withEngine(halves[1]!, async (tail) => {
        assert.deepEqual(await decodeSpeculatively([first, tail], options, plain), plain);
      }),
    );
  });
}

test('LocalEngine ends at eos, not below min_tokens, and never when it is ignored', async () => {
  await withEngine(whole, async (engine) => {
    const plain = await decodePlainly(engine, tailOptions(), 20);
    const eos = plain[prompt.length + 2]!;
    const first = plain.indexOf(eos, prompt.length);
    const ended = await decodePlainly(engine, tailOptions({ eosIds: [eos] }), 20);
    assert.deepEqual(ended, plain.slice(0, first + 1));
    assert.deepEqual(await decodePlainly(engine, tailOptions({ eosIds: [eos], ignoreEos: true }), 20), plain);
    const minTokens = first - prompt.length + 4;
    const longer = await decodePlainly(engine, tailOptions({ eosIds: [eos], minTokens }), 20);
    const early = longer.slice(prompt.length, prompt.length + minTokens);
    assert.ok(early.length === minTokens && !early.includes(eos));
  });
});

test('LocalEngine answers a gap with the length held and keeps the session', async () => {
  await withEngine(whole, async (engine) => {
    await engine.open('a', null);
    const ids = Uint32Array.from(prompt);
    const prefill = { session: 'a', position: 0, ids, hidden: null, headFrom: ids.length };
    await forwardAlone(engine, prefill);
    await assert.rejects(forwardAlone(engine, { ...prefill, position: 7 }), {
      code: 'gap',
      detail: { length: 6 },
    });
    await forwardAlone(engine, { ...prefill, position: 3 });
    await assert.rejects(forwardAlone(engine, { ...prefill, position: 10 }), {
      code: 'gap',
      detail: { length: 9 },
    });
  });
});

test('LocalEngine refuses passes that it cannot run, before it touches the cache', async () => {
  await withEngine(whole, async (engine) => {
    const pass = { session: 'a', position: 0, ids: Uint32Array.of(1, 2), hidden: null, headFrom: 0 };
    await assert.rejects(forwardAlone(engine, pass), { code: 'unknown_session' });
    await assert.rejects(engine.openTail('a', tailOptions()), { code: 'unknown_session' });
    await engine.open('a', null);
    await assert.rejects(forwardAlone(engine, pass), {
      code: 'bad_request',
      message: /not told how to sample/,
    });
    await engine.openTail('a', tailOptions());
    await forwardAlone(engine, pass);
    const bad = { ...pass, position: 1 };
    for (const change of [
      { ids: Uint32Array.of() },
      { ids: Uint32Array.of(1, tinyModel.vocab) },
      { ids: new Uint32Array(tinyModel.contextLength) },
      { headFrom: 3 },
      { headFrom: -1 },
    ]) {
      await assert.rejects(forwardAlone(engine, { ...bad, ...change }), { code: 'bad_request' });
    }
    await forwardAlone(engine, { ...pass, position: 2 });
  });
  await withEngine(halves[1]!, async (engine) => {
    await engine.open('a', null);
    const pass = { session: 'a', position: 0, ids: Uint32Array.of(1, 2), headFrom: 2 };
    await assert.rejects(forwardAlone(engine, { ...pass, hidden: null }), { code: 'bad_request' });
    await assert.rejects(forwardAlone(engine, { ...pass, hidden: new Float32Array(3) }), {
      code: 'bad_request',
    });
  });
  await withEngine(halves[0]!, async (engine) => {
    await engine.open('a', null);
    await assert.rejects(engine.openTail('a', tailOptions()), { code: 'bad_request' });
  });
});

test('LocalEngine runs up to the last position of the context', async () => {
  await withEngine(whole, async (engine) => {
    await engine.open('a', null);
    await engine.openTail('a', tailOptions());
    const ids = Uint32Array.from({ length: tinyModel.contextLength - 1 }, (_, i) => i % 300);
    await forwardAlone(engine, { session: 'a', position: 0, ids, hidden: null, headFrom: ids.length });
    const last = { session: 'a', position: ids.length, ids: Uint32Array.of(7), hidden: null, headFrom: 0 };
    assert.equal((await forwardAlone(engine, last)).verdict!.ids.length, 1);
    await assert.rejects(forwardAlone(engine, { ...last, position: ids.length + 1 }), {
      code: 'bad_request',
    });
  });
});

test('LocalEngine adopts the rows of another session', async () => {
  await withEngine(whole, async (engine) => {
    const plain = await decodePlainly(engine, tailOptions(), 10);
    await engine.open('donor', null);
    const ids = Uint32Array.from(prompt);
    await forwardAlone(engine, { session: 'donor', position: 0, ids, hidden: null, headFrom: ids.length });
    await engine.close('donor', 'keep');
    await engine.open('heir', { donor: 'donor', length: prompt.length - 1 });
    await engine.openTail('heir', tailOptions());
    const pass = { session: 'heir', position: prompt.length - 1, hidden: null, headFrom: 0 };
    const draft = Uint32Array.from(plain.slice(prompt.length - 1));
    const { verdict } = await forwardAlone(engine, { ...pass, ids: draft });
    assert.deepEqual([...verdict!.ids].slice(0, 10), plain.slice(prompt.length));
    // A donor that is gone gives nothing; the first pass tells.
    await engine.open('x', { donor: 'nobody', length: 1 });
    const orphaned = { session: 'x', position: 1, ids: Uint32Array.of(1), hidden: null, headFrom: 1 };
    await assert.rejects(forwardAlone(engine, orphaned), { code: 'gap', detail: { length: 0 } });
  });
});

test('LocalEngine.load counts sessions, bytes, passes and rows', async () => {
  await withEngine({ ...whole, kvBytesMax: 800_000 }, async (engine) => {
    assert.deepEqual(await engine.load(), {
      sessions: 0,
      kvBytes: 0,
      kvBytesMax: 800_000,
      slots: 1,
      passes: 0,
      frames: 0,
      rows: 0,
    });
    await engine.open('a', null);
    const pass = { session: 'a', position: 0, ids: Uint32Array.of(1, 2, 3), hidden: null, headFrom: 3 };
    await forwardAlone(engine, pass);
    const { sessions, kvBytes, passes, rows } = await engine.load();
    assert.deepEqual({ sessions, passes, rows }, { sessions: 1, passes: 1, rows: 3 });
    // 6 layers, key and value, 2 heads of 16, 64 positions.
    assert.equal(kvBytes, 6 * 2 * 2 * 16 * 4 * 64);
    await engine.open('b', null);
    const long = { ...pass, session: 'b', ids: new Uint32Array(500).fill(1), headFrom: 500 };
    await assert.rejects(forwardAlone(engine, long), { code: 'kv_budget' });
    await engine.close('a', 'free');
    await engine.close('nobody', 'free');
    await forwardAlone(engine, long);
  });
});

test('createLocalEngine says which file cannot be loaded', async () => {
  const options = { ...whole, onnxPath: join(folder, 'absent.onnx') };
  await assert.rejects(createLocalEngine(options), { code: 'engine_failed', message: /absent\.onnx/ });
});
