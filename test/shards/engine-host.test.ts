import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { ForwardPass, ShardEngine } from '../../shards/engine.ts';
import { startEngineThread } from '../../shards/engine-host.ts';
import { createLocalEngine, type EngineOptions } from '../../shards/local-engine.ts';
import { greedy } from '../../shards/sampler.ts';
import { encodeTokenBytes } from '../../shards/token-bytes-file.ts';
import { forwardAlone } from '../support/forward-alone.ts';
import { packRanges } from '../support/shard-chain.ts';
import { writeTinyGguf } from '../support/tiny-gguf.ts';

let folder: string;
let halves: EngineOptions[];
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foretoken-thread-'));
  const { path } = await writeTinyGguf(join(folder, 'model.gguf'));
  const packs = await packRanges(path, folder, [3], 'native');
  halves = packs.map(({ onnxPath, dims, range }) => ({
    onnxPath,
    dims,
    range,
    threads: 1,
    minRows: 2,
    kvBytesMax: 64e6,
  }));
});
after(() => rm(folder, { recursive: true, force: true }));

const ids = Uint32Array.of(9, 8, 7, 300);
const pass: ForwardPass = { session: 'a', position: 0, ids, hidden: null, headFrom: 2 };
const tail = { sampling: greedy, promptLength: 3, eosIds: [], minTokens: 0, ignoreEos: false };

async function runBoth(first: ShardEngine, last: ShardEngine): Promise<unknown[]> {
  await first.open('a', null);
  await last.open('a', null);
  await last.openTail('a', tail);
  const { hidden } = await forwardAlone(first, pass);
  // A view into a larger buffer, as rows of a frame are.
  const frame = new Float32Array(hidden!.length + 10);
  frame.set(hidden!, 5);
  const view = frame.subarray(5, 5 + hidden!.length);
  const { verdict } = await forwardAlone(last, { ...pass, hidden: view });
  assert.equal(view.length, hidden!.length, 'the caller keeps its rows');
  assert.equal(ids.length, 4, 'the caller keeps its ids');
  await last.close('a', 'free');
  await first.close('a', 'keep');
  const load = await first.load();
  await Promise.all([first.dispose(), last.dispose()]);
  return [hidden, verdict, load];
}

test('startEngineThread answers as a local engine does', async () => {
  const local = await runBoth(await createLocalEngine(halves[0]!), await createLocalEngine(halves[1]!));
  const threads = await runBoth(await startEngineThread(halves[0]!), await startEngineThread(halves[1]!));
  assert.deepEqual(threads, local);
});

test('startEngineThread carries errors with their code and detail', async () => {
  const engine = await startEngineThread(halves[0]!);
  await engine.open('a', null);
  await assert.rejects(forwardAlone(engine, { ...pass, position: 3 }), {
    name: 'ShardError',
    code: 'gap',
    detail: { length: 0 },
  });
  await engine.dispose();
});

test('startEngineThread keeps the order of calls that were not awaited, and ends after them', async () => {
  const engine = await startEngineThread(halves[0]!);
  const opened = engine.open('a', null);
  const passes = [0, 4, 8].map((position) => forwardAlone(engine, { ...pass, position }));
  const disposed = engine.dispose();
  await opened;
  assert.equal((await Promise.all(passes)).length, 3);
  await disposed;
  await assert.rejects(engine.load(), { code: 'engine_failed' });
  await engine.dispose();
});

test('startEngineThread fails when the range cannot be loaded', async () => {
  const options = { ...halves[0]!, onnxPath: join(folder, 'absent.onnx') };
  await assert.rejects(startEngineThread(options), { code: 'engine_failed', message: /absent\.onnx/ });
});

test('a grammar is compiled beside passes, and one that explodes costs them nothing but the core', async () => {
  const vocabPath = join(folder, 'vocab.bin');
  const tokens = Array.from({ length: halves[0]!.dims.vocab }, (_, id) => Uint8Array.of(id & 0xff));
  await writeFile(vocabPath, encodeTokenBytes(tokens));
  const [first, last] = await Promise.all([
    startEngineThread(halves[0]!),
    startEngineThread({ ...halves[1]!, vocabPath }),
  ]);
  await first.open('a', null);
  await last.open('a', null);
  await last.openTail('a', tail);
  const exploding = `root ::= ${Array.from({ length: 400 }, (_, i) => `("${i}" | [^a] [a-z ]{0,90})`).join(' ')}`;
  let compiling = true;
  const refused = last.prepareTail({ ...tail, grammar: exploding }).catch((error: unknown) => {
    compiling = false;
    return error;
  });
  let passes = 0;
  for (; compiling && passes < 20; passes++) {
    const { hidden } = await forwardAlone(first, pass);
    await forwardAlone(last, { ...pass, hidden });
  }
  assert.equal(passes, 20, 'passes went on while the grammar was compiled');
  assert.match(String(await refused), /takes more than \d+ ms to compile/);
  await Promise.all([first.dispose(), last.dispose()]);
});
