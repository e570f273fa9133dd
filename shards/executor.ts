/**
 * Runs passes of one layer range: owns the ONNX session and knows the graph's inputs and outputs by name (the
 * contract is at the head of src/models/decoder-graph.ts). It reads a cache and never changes it.
 * Invariant: what a real row yields does not depend on the copies that a pass is padded with.
 *
 * `create` must run in a process whose environment has ORT_GQA_DISABLE_FLASH_ATTENTION=1 from its start: the parent
 * sets it when it spawns the process. Setting it later from JavaScript reaches native code on the main thread only.
 */
import ort from 'onnxruntime-node';
import type { KvCache } from './kv-cache.ts';
import { isFirst, isTail, type LayerRange, type ModelDims } from './manifest.ts';

export interface ExecutorOptions {
  readonly onnxPath: string;
  readonly dims: ModelDims;
  readonly range: LayerRange;
  /** Threads of the linears; 1 unless the machine has cores to spare. */
  readonly threads: number;
  /** 2 where the kernels give a single row other bits than the same row in company; the start-up proof decides. */
  readonly minRows: 1 | 2;
}

/** 'ranking' is the likeliest ids with their probabilities: only a draft head's graph has that. */
export type HeadOutput = 'none' | 'argmax' | 'ranking' | 'logits';

export interface ExecutorPass {
  /** [rows]; read by the first range. */
  readonly ids: Uint32Array;
  /** [rows, H]; read by all other ranges. */
  readonly hidden: Float32Array | null;
  readonly cache: KvCache;
  /** Index of the first row that needs a head; ids.length for none. */
  readonly headFrom: number;
  /** What the tail gives for rows from headFrom on. */
  readonly want: HeadOutput;
}

export interface ExecutorResult {
  /** New keys and values [2 layers, kvHeads, passRows, headDim]; the first `rows` rows are real. */
  readonly newkv: Float32Array;
  readonly passRows: number;
  /** [rows, H]; null at the tail. */
  readonly hidden: Float32Array | null;
  /** [rows - headFrom, V] if wanted. */
  readonly logits: Float32Array | null;
  /** Ids [rows - headFrom] if wanted; ties go to the lower id. */
  readonly argmax: Uint32Array | null;
  /** The likeliest ids of every row, best first, if wanted. */
  readonly ranking: Ranking | null;
}

/** [rows - headFrom, width] each; the probabilities are those among the ids that the head scores. */
export interface Ranking {
  readonly width: number;
  readonly ids: Uint32Array;
  readonly chances: Float32Array;
}

export interface Executor {
  run(pass: ExecutorPass): Promise<ExecutorResult>;
  dispose(): Promise<void>;
}

/** The graph's outputs by what is wanted; only those fetched are copied. */
const headOutputs: Record<HeadOutput, readonly string[]> = {
  none: [],
  argmax: ['argmax'],
  ranking: ['ranking', 'chances'],
  logits: ['logits'],
};

/** Loads the graph. Throws what the runtime throws: the file is missing, damaged or of another version. */
export async function createExecutor(options: ExecutorOptions): Promise<Executor> {
  const session = await ort.InferenceSession.create(options.onnxPath, {
    intraOpNumThreads: options.threads,
    interOpNumThreads: 1,
    logSeverityLevel: 3,
    // Waiting threads that spin steal the cores of the other shards on the machine.
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  });
  return new OrtExecutor(session, options);
}

class OrtExecutor implements Executor {
  readonly #session: ort.InferenceSession;
  readonly #options: ExecutorOptions;

  constructor(session: ort.InferenceSession, options: ExecutorOptions) {
    this.#session = session;
    this.#options = options;
  }

  async run(pass: ExecutorPass): Promise<ExecutorResult> {
    const { dims, range, minRows } = this.#options;
    const rows = pass.ids.length;
    const passRows = Math.max(rows, minRows);
    const tail = isTail(range, dims);
    // A head over a single row is a pass of one row for its linear: take the row before it too.
    const headRows = rows - pass.headFrom;
    const headFrom = headRows === 0 ? passRows : Math.min(pass.headFrom, passRows - minRows);
    const fetched = ['newkv'];
    if (!tail) fetched.push('hidden');
    else if (headRows > 0) fetched.push(...headOutputs[pass.want]);

    const outputs = await this.#session.run(this.#feeds(pass, passRows, headFrom), fetched);
    const skipped = pass.headFrom - headFrom;
    const { hidden, logits, argmax, ranking } = outputs;
    return {
      newkv: outputs['newkv']!.data as Float32Array,
      passRows,
      hidden: hidden === undefined ? null : firstOf(hidden.data as Float32Array, rows * dims.hidden),
      logits:
        logits === undefined
          ? null
          : (logits.data as Float32Array).subarray(skipped * dims.vocab, (skipped + headRows) * dims.vocab),
      argmax: argmax === undefined ? null : idsOf(argmax).subarray(skipped, skipped + headRows),
      ranking: ranking === undefined ? null : rankingOf(ranking, outputs['chances']!, skipped, headRows),
    };
  }

  dispose(): Promise<void> {
    return this.#session.release();
  }

  #feeds(
    { ids, hidden, cache }: ExecutorPass,
    passRows: number,
    headFrom: number,
  ): Record<string, ort.Tensor> {
    const { dims, range } = this.#options;
    const past = cache.length;
    // Attention adds one row of its own (decoder-graph.ts).
    const total = past + passRows + 1;
    const feeds: Record<string, ort.Tensor> = {
      pastLength: int64([past]),
      pastEnd: int64([past + passRows]),
      lastIndex: int32(total - 1),
      total: int32(total),
    };
    if (isFirst(range)) feeds['ids'] = idRows(ids, passRows);
    else feeds['hiddenIn'] = hiddenRows(hidden!, ids.length, passRows, dims.hidden);
    if (isTail(range, dims)) feeds['headFrom'] = int64([headFrom]);
    const shape = [1, cache.shape.kvHeads, cache.capacity, cache.shape.headDim];
    cache.buffers.forEach((buffer, index) => {
      const kind = index % 2 === 0 ? 'Key' : 'Value';
      feeds[`past${kind}${index >> 1}`] = new ort.Tensor('float32', buffer, shape);
    });
    return feeds;
  }
}

function idRows(ids: Uint32Array, passRows: number): ort.Tensor {
  const padded = new BigInt64Array(passRows);
  for (let row = 0; row < passRows; row++) padded[row] = BigInt(ids[Math.min(row, ids.length - 1)]!);
  return new ort.Tensor('int64', padded, [1, passRows]);
}

function hiddenRows(hidden: Float32Array, rows: number, passRows: number, width: number): ort.Tensor {
  let padded = hidden;
  if (passRows > rows) {
    padded = new Float32Array(passRows * width);
    padded.set(hidden);
    padded.copyWithin(rows * width, (rows - 1) * width, rows * width);
  }
  return new ort.Tensor('float32', padded, [1, passRows, width]);
}

/** `rows` rows behind the first `skipped`. */
function rankingOf(ranking: ort.Tensor, chances: ort.Tensor, skipped: number, rows: number): Ranking {
  const width = ranking.dims[2]!;
  const [from, to] = [skipped * width, (skipped + rows) * width];
  return {
    width,
    ids: idsOf(ranking).subarray(from, to),
    chances: (chances.data as Float32Array).subarray(from, to),
  };
}

function idsOf({ data }: ort.Tensor): Uint32Array {
  return Uint32Array.from(data as BigInt64Array, Number);
}

/** The first `count` elements, alone in their buffer so that it can be handed on. */
function firstOf(values: Float32Array, count: number): Float32Array {
  return values.length === count ? values : values.slice(0, count);
}

function int64(values: readonly number[]): ort.Tensor {
  return new ort.Tensor('int64', BigInt64Array.from(values, BigInt), [values.length]);
}

function int32(value: number): ort.Tensor {
  return new ort.Tensor('int32', Int32Array.of(value), [1]);
}
