/**
 * Runs passes of one layer range: owns the ONNX session and knows the graph's inputs and outputs by name (the
 * contract is at the head of src/models/decoder-graph.ts). Rows of several sessions go packed, one session behind the
 * other; what comes out is cut apart again. It reads caches and never changes them.
 * Invariant: what a real row yields depends neither on the copies that a pass is padded with nor on rows beside it.
 *
 * `create` must run in a process whose environment has ORT_GQA_DISABLE_FLASH_ATTENTION=1 from its start: the parent
 * sets it when it spawns the process. Setting it later from JavaScript reaches native code on the main thread only.
 */
import ort from 'onnxruntime-node';
import type { KvCache } from './kv-cache.ts';
import { isFirst, isTail, type LayerRange, type ModelDims } from './manifest.ts';

/** A graph file and the sessions whose rows one pass of it can carry. */
export interface ShardGraph {
  readonly onnxPath: string;
  readonly slots: number;
}

export interface ExecutorOptions {
  readonly onnxPath: string;
  /** Slots of the graph; left out: 1. */
  readonly slots?: number;
  readonly dims: ModelDims;
  readonly range: LayerRange;
  /** Threads of the linears; waiting ones sleep, so shards of one machine may have as many each. */
  readonly threads: number;
  /** 2 where the kernels give a single row other bits than the same row in company; the start-up proof decides. */
  readonly minRows: 1 | 2;
}

/** 'ranking' is the likeliest ids with their probabilities: only a draft head's graph has that. */
export type HeadOutput = 'none' | 'argmax' | 'ranking' | 'logits';

/** The rows of one session in a pass. */
export interface ExecutorPass {
  /** [rows], at least one; read by the first range. */
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
  /** New keys and values of the whole pass [2 layers, kvHeads, passRows, headDim]; this session's begin at firstRow. */
  readonly newkv: Float32Array;
  readonly passRows: number;
  readonly firstRow: number;
  /** [rows, H], alone in its buffer; null at the tail. */
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
  readonly slots: number;
  /** One pass of 1 to `slots` sessions, each once; results in their order. */
  run(passes: readonly ExecutorPass[]): Promise<ExecutorResult[]>;
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

/** Where the rows of one session lie in a pass. */
interface PackedPass extends ExecutorPass {
  readonly firstRow: number;
  /** Rows with their padding. */
  readonly rows: number;
  /** Index of its first head row among all head rows. */
  readonly firstHead: number;
}

class OrtExecutor implements Executor {
  readonly slots: number;
  readonly #session: ort.InferenceSession;
  readonly #options: ExecutorOptions;

  constructor(session: ort.InferenceSession, options: ExecutorOptions) {
    this.slots = options.slots ?? 1;
    this.#session = session;
    this.#options = options;
  }

  async run(passes: readonly ExecutorPass[]): Promise<ExecutorResult[]> {
    const { dims, range, minRows } = this.#options;
    if (passes.length < 1 || passes.length > this.slots) {
      throw new RangeError(`${passes.length} sessions do not fit into ${this.slots} slots`);
    }
    const packed = pack(passes, minRows);
    const fetched = new Set(['newkv']);
    if (!isTail(range, dims)) fetched.add('hidden');
    else for (const { want } of passes) for (const name of headOutputs[want]) fetched.add(name);
    const outputs = await this.#session.run(this.#feeds(packed), [...fetched]);
    return packed.map((pass) => this.#resultOf(pass, outputs, passRowsOf(packed)));
  }

  dispose(): Promise<void> {
    return this.#session.release();
  }

  #resultOf(
    { ids, want, headFrom, firstRow, firstHead }: PackedPass,
    outputs: ort.InferenceSession.OnnxValueMapType,
    passRows: number,
  ): ExecutorResult {
    const { hidden } = this.#options.dims;
    const heads = ids.length - headFrom;
    /** The head's answer to this session's rows, if it was wanted. */
    const part = <T extends Float32Array | BigInt64Array>(name: string): T | null => {
      const output = headOutputs[want].includes(name) ? outputs[name] : undefined;
      if (output === undefined) return null;
      const width = output.dims[2] ?? 1;
      return (output.data as T).subarray(firstHead * width, (firstHead + heads) * width) as T;
    };
    const rows = outputs['hidden']?.data as Float32Array | undefined;
    const argmax = part<BigInt64Array>('argmax');
    const ranking = part<BigInt64Array>('ranking');
    return {
      newkv: outputs['newkv']!.data as Float32Array,
      passRows,
      firstRow,
      hidden: rows === undefined ? null : rows.slice(firstRow * hidden, (firstRow + ids.length) * hidden),
      logits: part<Float32Array>('logits'),
      argmax: argmax === null ? null : idsOf(argmax),
      ranking:
        ranking === null
          ? null
          : {
              width: outputs['ranking']!.dims[2]!,
              ids: idsOf(ranking),
              chances: part<Float32Array>('chances')!,
            },
    };
  }

  #feeds(packed: readonly PackedPass[]): Record<string, ort.Tensor> {
    const { dims, range } = this.#options;
    const feeds: Record<string, ort.Tensor> = {};
    if (isFirst(range)) feeds['ids'] = idRows(packed);
    else feeds['hiddenIn'] = hiddenRows(packed, dims.hidden);
    if (isTail(range, dims)) feeds['headRows'] = int64(headRows(packed, this.#options.minRows));
    for (let slot = 0; slot < this.slots; slot++) this.#feedSlot(feeds, packed, slot);
    return feeds;
  }

  #feedSlot(feeds: Record<string, ort.Tensor>, packed: readonly PackedPass[], slot: number): void {
    const { dims, range } = this.#options;
    const { kvHeads, headDim } = dims;
    const pass = packed[slot];
    const past = pass?.cache.length ?? 0;
    const rows = pass?.rows ?? 0;
    // Attention adds one row of its own (slot-attention.ts).
    const total = past + rows + 1;
    feeds[`pastLength${slot}`] = int64([past]);
    feeds[`pastEnd${slot}`] = int64([past + rows]);
    feeds[`lastIndex${slot}`] = int32(total - 1);
    feeds[`total${slot}`] = int32(total);
    if (slot > 0) {
      const behind = pass === undefined ? 0 : passRowsOf(packed) - pass.firstRow;
      feeds[`used${slot}`] = new ort.Tensor('bool', [pass !== undefined], [1]);
      feeds[`rows${slot}`] = int64([packed[slot - 1]?.rows ?? 0, behind]);
    }
    const shape = [1, kvHeads, pass?.cache.capacity ?? 0, headDim];
    const none = pass === undefined ? new ort.Tensor('float32', new Float32Array(0), shape) : null;
    for (let index = 0; index < 2 * (range.end - range.start); index++) {
      const kind = index % 2 === 0 ? 'Key' : 'Value';
      feeds[`past${kind}${slot}_${index >> 1}`] =
        none ?? new ort.Tensor('float32', pass!.cache.buffers[index]!, shape);
    }
  }
}

/** Rows of the sessions one behind the other. Several make at least two rows; one alone may need a copy of its last. */
function pack(passes: readonly ExecutorPass[], minRows: number): PackedPass[] {
  let firstRow = 0;
  let firstHead = 0;
  return passes.map((pass) => {
    const rows = passes.length === 1 ? Math.max(pass.ids.length, minRows) : pass.ids.length;
    const packed = { ...pass, firstRow, rows, firstHead };
    firstRow += rows;
    firstHead += pass.ids.length - pass.headFrom;
    return packed;
  });
}

/** Rows of the whole pass, padding included. */
function passRowsOf(packed: readonly PackedPass[]): number {
  const last = packed.at(-1)!;
  return last.firstRow + last.rows;
}

/** Which rows get a head. One alone would be a pass of one row for the head's linear: it is taken twice. */
function headRows(packed: readonly PackedPass[], minRows: number): number[] {
  const wanted = packed.flatMap(({ ids, headFrom, firstRow }) =>
    Array.from({ length: ids.length - headFrom }, (_, row) => firstRow + headFrom + row),
  );
  return wanted.length === 1 && minRows === 2 ? [wanted[0]!, wanted[0]!] : wanted;
}

/** Token ids [1, passRows]; a row of padding is a copy of the last. */
function idRows(packed: readonly PackedPass[]): ort.Tensor {
  const passRows = passRowsOf(packed);
  const all = new BigInt64Array(passRows);
  for (const { ids, firstRow, rows } of packed) {
    for (let row = 0; row < rows; row++) all[firstRow + row] = BigInt(ids[Math.min(row, ids.length - 1)]!);
  }
  return new ort.Tensor('int64', all, [1, passRows]);
}

/** Hidden rows [1, passRows, width]; a row of padding is a copy of the last. */
function hiddenRows(packed: readonly PackedPass[], width: number): ort.Tensor {
  const passRows = passRowsOf(packed);
  const { hidden: first } = packed[0]!;
  if (packed.length === 1 && first!.length === passRows * width) {
    return new ort.Tensor('float32', first!, [1, passRows, width]);
  }
  const all = new Float32Array(passRows * width);
  for (const { ids, hidden, firstRow, rows } of packed) {
    all.set(hidden!, firstRow * width);
    for (let row = ids.length; row < rows; row++) {
      all.set(hidden!.subarray((ids.length - 1) * width), (firstRow + row) * width);
    }
  }
  return new ort.Tensor('float32', all, [1, passRows, width]);
}

function idsOf(values: BigInt64Array): Uint32Array {
  return Uint32Array.from(values, Number);
}

function int64(values: readonly number[]): ort.Tensor {
  return new ort.Tensor('int64', BigInt64Array.from(values, BigInt), [values.length]);
}

function int32(value: number): ort.Tensor {
  return new ort.Tensor('int32', Int32Array.of(value), [1]);
}
