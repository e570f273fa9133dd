/** What our own pack of a whole model predicts behind each token of a sequence but the last: the executor, no engine. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createExecutor, type Executor } from '../../shards/executor.ts';
import { KvCache } from '../../shards/kv-cache.ts';
import type { ModelDims, Quantisation } from '../../shards/manifest.ts';
import { readGguf } from '../../src/models/gguf.ts';
import { modelDims } from '../../src/models/model-dims.ts';
import { packShard } from '../../src/models/pack.ts';

/** Rows per pass, as in a prefill. */
const CHUNK = 64;

export interface EngineScores {
  /** Nats of the token that follows in truth. */
  readonly nll: readonly number[];
  readonly top: readonly number[];
}

export async function scoreWithEngine(
  path: string,
  quantisation: Quantisation,
  sequences: readonly (readonly number[])[],
): Promise<EngineScores[]> {
  const directory = await mkdtemp(join(tmpdir(), 'foretoken-parity-pack-'));
  try {
    const file = await readGguf(path);
    const dims = modelDims(file);
    const range = { start: 0, end: dims.layers };
    const model = { file, sha256: '0'.repeat(64), modelName: 'parity' };
    const { onnxPath } = await packShard({ ...model, range, quantisation, directory });
    const executor = await createExecutor({ onnxPath, dims, range, threads: 1, minRows: 2 });
    try {
      const scores: EngineScores[] = [];
      for (const ids of sequences) scores.push(await scoreSequence(executor, dims, ids));
      return scores;
    } finally {
      await executor.dispose();
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function scoreSequence(
  executor: Executor,
  dims: ModelDims,
  ids: readonly number[],
): Promise<EngineScores> {
  const cache = new KvCache({ layers: dims.layers, kvHeads: dims.kvHeads, headDim: dims.headDim });
  cache.grow(ids.length);
  const nll: number[] = [];
  const top: number[] = [];
  for (let start = 0; start < ids.length - 1; start += CHUNK) {
    const chunk = Uint32Array.from(ids.slice(start, Math.min(start + CHUNK, ids.length - 1)));
    const [result] = await executor.run([{ ids: chunk, hidden: null, cache, headFrom: 0, want: 'logits' }]);
    cache.append(result.newkv, chunk.length, result.passRows);
    for (let row = 0; row < chunk.length; row++) {
      const logits = result.logits!.subarray(row * dims.vocab, (row + 1) * dims.vocab);
      const best = indexOfLargest(logits);
      const weight = logits.reduce((sum, logit) => sum + Math.exp(logit - logits[best]), 0);
      nll.push(Math.log(weight) + logits[best] - logits[ids[start + row + 1]]);
      top.push(best);
    }
  }
  return { nll, top };
}

function indexOfLargest(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}
