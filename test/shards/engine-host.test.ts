import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { ForwardPass, ShardEngine } from '../../shards/engine.ts';
import { startEngineThread } from '../../shards/engine-host.ts';
import { createLocalEngine, type EngineOptions } from '../../shards/local-engine.ts';
import { greedy } from '../../shards/sampler.ts';
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
