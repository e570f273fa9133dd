/**
 * Promise 1 on the real weights: cuts, passes, drafts with rollback and long pasts leave every logit's bits alone, and
 * the start-up proof finds the fewest rows for which that holds. Skipped, with a printed line, without the model.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createExecutor } from '../../shards/executor.ts';
import { KvCache } from '../../shards/kv-cache.ts';
import { proveInvariance } from '../../shards/probe.ts';
import { readGguf } from '../../src/models/gguf.ts';
import { realModelPath } from '../support/real-model.ts';
import {
  differingRows,
  forwardInDrafts,
  forwardInPasses,
  openShardChain,
  packRanges,
  type ShardChain,
} from '../support/shard-chain.ts';

let folder: string;
let path: string | null = null;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foretoken-real-'));
  path = await realModelPath();
});
after(() => rm(folder, { recursive: true, force: true }));

/** Ids as made up as they look: bits do not care whether a text makes sense. */
const idsOf = (count: number): number[] =>
  Array.from({ length: count }, (_, i) => (i * i * 131 + i * 17 + 40) % 49_152);

async function withChain<T>(
  cuts: readonly number[],
  minRows: 1 | 2,
  use: (chain: ShardChain) => Promise<T>,
): Promise<T> {
  const chain = await openShardChain(path!, folder, { cuts, minRows });
  try {
    return await use(chain);
  } finally {
    await chain.dispose();
  }
}

test('the real model gives equal bits for cuts, passes and drafts', async (t) => {
  if (path === null) return t.skip('the default model is not in the store');
  const [pack] = await packRanges(path, folder, [], 'native');
  // The linears are Q4_1: each adds block sums for its minimums, in both graphs.
  const { tensors } = await readGguf(path);
  assert.ok([...tensors.values()].filter(({ type }) => type === 'Q4_1').length > 200);
  const { invariant, shareable, minRows } = await proveInvariance({ ...pack!, threads: 1 });
  assert.ok(invariant);
  assert.ok(shareable, 'one to eight sessions in a pass, against the graph of one');
  const ids = idsOf(96);
  const expected = await withChain([], minRows, async (chain) => (await chain.forward(ids)).slice());
  const same = (logits: Float32Array, what: string): void =>
    assert.equal(differingRows(logits, expected, 49_152), 0, what);
  await withChain([], minRows, async (chain) => {
    same(await forwardInPasses(chain, ids, () => 1), 'passes of one row');
    same(await forwardInDrafts(chain, ids, 3), 'drafts');
  });
  for (const cuts of [[15], [1, 29], [6, 12, 18, 24]]) {
    await withChain(cuts, minRows, async (chain) => {
      same(await forwardInPasses(chain, ids, () => 7), `cuts ${cuts}, passes of seven`);
      same(await forwardInDrafts(chain, ids, 5), `cuts ${cuts}, drafts`);
    });
  }
});

test('the real model gives equal bits beyond position 4,096', async (t) => {
  if (path === null) return t.skip('the default model is not in the store');
  // The last two layers alone, on made-up hidden rows: attention over a long past is the same in every layer.
  const [, pack] = await packRanges(path, folder, [28], 'native');
  const { dims, range, onnxPath } = pack!;
  const executor = await createExecutor({ onnxPath, dims, range, threads: 1, minRows: 2 });
  const rows = 4_120;
  const compared = 4_080;
  const hidden = Float32Array.from({ length: rows * dims.hidden }, (_, i) => ((i * 7919) % 1009) / 250 - 2);

  const run = async (prefillRows: number, passRows: number): Promise<Float32Array> => {
    const cache = new KvCache({ layers: 2, kvHeads: dims.kvHeads, headDim: dims.headDim });
    cache.grow(rows);
    const logits = new Float32Array((rows - compared) * dims.vocab);
    for (let at = 0; at < rows; at = cache.length) {
      const count = at < compared ? Math.min(prefillRows, compared - at) : Math.min(passRows, rows - at);
      const [result] = await executor.run([
        {
          ids: new Uint32Array(count),
          hidden: hidden.subarray(at * dims.hidden, (at + count) * dims.hidden),
          cache,
          headFrom: at < compared ? count : 0,
          want: at < compared ? 'none' : 'logits',
        },
      ]);
      cache.append(result!.newkv, count, result!.passRows);
      if (result!.logits !== null) logits.set(result!.logits, (at - compared) * dims.vocab);
    }
    return logits;
  };

  const whole = await run(256, rows);
  assert.equal(differingRows(await run(200, 1), whole, dims.vocab), 0, 'passes of one row');
  assert.equal(differingRows(await run(512, 7), whole, dims.vocab), 0, 'passes of seven');
  await executor.dispose();
});
