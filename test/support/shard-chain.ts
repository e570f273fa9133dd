/**
 * The ranges of one model as executors in this process, one after the other: hidden rows are handed on directly, so a
 * test sees the arithmetic of a cut model without wire, engine or verification.
 */
import { join } from 'node:path';
import { createExecutor, type Executor } from '../../shards/executor.ts';
import { KvCache } from '../../shards/kv-cache.ts';
import type { LayerRange, ModelDims, Quantisation } from '../../shards/manifest.ts';
import { readGguf } from '../../src/models/gguf.ts';
import { type PackedShard, packShard } from '../../src/models/pack.ts';

export interface ChainOptions {
  /** Layers at which the model is cut. */
  readonly cuts?: readonly number[];
  readonly quantisation?: Quantisation;
  readonly minRows?: 1 | 2;
  readonly threads?: number;
}

export interface ShardChain {
  readonly dims: ModelDims;
  /** Positions held. */
  readonly length: number;
  /** Runs ids behind what is held; logits [ids.length, V]. */
  forward(ids: readonly number[]): Promise<Float32Array>;
  /** Forgets everything from `length` on. */
  truncate(length: number): void;
  dispose(): Promise<void>;
}

/** Packs (or reuses) the ranges between the cuts in `directory`. */
export async function packRanges(
  ggufPath: string,
  directory: string,
  cuts: readonly number[],
  quantisation: Quantisation,
): Promise<PackedShard[]> {
  const file = await readGguf(ggufPath);
  const layers = file.metadata.get('llama.block_count') as number;
  const edges = [0, ...cuts, layers];
  const packs: PackedShard[] = [];
  for (let i = 0; i + 1 < edges.length; i++) {
    const range: LayerRange = { start: edges[i]!, end: edges[i + 1]! };
    const folder = join(directory, `${quantisation}-${range.start}-${range.end}`);
    packs.push(
      await packShard({
        file,
        sha256: 'of a test',
        modelName: 'test',
        range,
        quantisation,
        directory: folder,
      }),
    );
  }
  return packs;
}

export async function openShardChain(
  ggufPath: string,
  directory: string,
  options: ChainOptions = {},
): Promise<ShardChain> {
  const { cuts = [], quantisation = 'native', minRows = 2, threads = 1 } = options;
  const packs = await packRanges(ggufPath, directory, cuts, quantisation);
  const { dims } = packs[0]!;
  const shards: { executor: Executor; cache: KvCache }[] = [];
  for (const { onnxPath, range } of packs) {
    const { kvHeads, headDim } = dims;
    shards.push({
      executor: await createExecutor({ onnxPath, dims, range, threads, minRows }),
      cache: new KvCache({ layers: range.end - range.start, kvHeads, headDim }),
    });
  }
  return {
    dims,
    get length() {
      return shards[0]!.cache.length;
    },
    async forward(numbers) {
      const ids = Uint32Array.from(numbers);
      let hidden: Float32Array | null = null;
      for (const { executor, cache } of shards) {
        cache.grow(cache.length + ids.length);
        const [result] = await executor.run([{ ids, hidden, cache, headFrom: 0, want: 'logits' }]);
        cache.append(result!.newkv, ids.length, result!.passRows);
        if (result!.logits !== null) return result!.logits;
        hidden = result!.hidden;
      }
      throw new Error('the last range has no head');
    },
    truncate(length) {
      for (const { cache } of shards) cache.truncate(length);
    },
    async dispose() {
      for (const { executor } of shards) await executor.dispose();
    },
  };
}

/** Runs all ids in passes of `rowsAt(n)` rows; logits [ids.length, V]. */
export async function forwardInPasses(
  chain: ShardChain,
  ids: readonly number[],
  rowsAt: (pass: number) => number,
): Promise<Float32Array> {
  const all = new Float32Array(ids.length * chain.dims.vocab);
  chain.truncate(0);
  for (let pass = 0; chain.length < ids.length; pass++) {
    const at = chain.length;
    all.set(await chain.forward(ids.slice(at, at + rowsAt(pass))), at * chain.dims.vocab);
  }
  return all;
}

/**
 * Draft passes with rollback: 1 to 9 rows, right up to a made-up point and wrong after it; what is right is kept.
 * Logits [ids.length, V] of the right rows.
 */
export async function forwardInDrafts(
  chain: ShardChain,
  ids: readonly number[],
  seed: number,
): Promise<Float32Array> {
  const { vocab } = chain.dims;
  const all = new Float32Array(ids.length * vocab);
  let state = seed;
  const below = (limit: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % limit;
  };
  chain.truncate(0);
  while (chain.length < ids.length) {
    const at = chain.length;
    const rows = Math.min(1 + below(9), ids.length - at);
    const right = 1 + below(rows);
    const guess = ids.slice(at, at + rows).map((id, row) => (row < right ? id : below(vocab)));
    const logits = await chain.forward(guess);
    all.set(logits.subarray(0, right * vocab), at * vocab);
    chain.truncate(at + right);
  }
  return all;
}

/** Rows [V] of a that are not the same bytes in b. */
export function differingRows(a: Float32Array, b: Float32Array, vocab: number): number {
  const bytes = vocab * Float32Array.BYTES_PER_ELEMENT;
  const left = Buffer.from(a.buffer, a.byteOffset, a.byteLength);
  const right = Buffer.from(b.buffer, b.byteOffset, b.byteLength);
  let count = 0;
  for (let at = 0; at < left.length; at += bytes) {
    if (!left.subarray(at, at + bytes).equals(right.subarray(at, at + bytes))) count++;
  }
  return count;
}
