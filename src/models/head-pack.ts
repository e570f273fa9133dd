/**
 * A draft head made ready to run: its own weights, and from the target's file the embedding and the rows that score
 * the head's tokens, as one graph of the same kind as any other whole model (decoder-graph.ts). The target's rows keep
 * their codes. Nothing here decides an answer, so a head may be packed in whatever form is fast.
 * Invariant: a pack's folder appears whole or not at all; its name says of what and in which form it was made.
 */
import { mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LayerRange, ModelDims } from '../../shards/manifest.ts';
import { decoderGraph } from './decoder-graph.ts';
import type { LayerWeights, LinearWeights, ShardWeights } from './decoder-weights.ts';
import { dequantize } from './dequantize.ts';
import { type GgufFile, readTensorBytes } from './gguf.ts';
import { type HeadFile, type HeadManifest, headTensorOf } from './head-file.ts';
import { block8bit, linearForm, type StoredMatrix } from './linear-form.ts';
import { modelDims } from './model-dims.ts';
import { ModelFileError } from './model-file-error.ts';
import type { ExternalTensor } from './onnx-writer.ts';
import { storeFailure, systemCode } from './pull-error.ts';
import { ropeTables } from './rope-tables.ts';
import { headTensor, storeEmbedding, storeLinear, tensorOf } from './stored-weights.ts';
import { WeightFile } from './weight-file.ts';

/** Raised whenever the same head would be packed into other bytes. */
const packFormat = 3;

const graphName = 'head.onnx';
const weightsName = 'head.bin';

export interface HeadPackOptions {
  readonly head: HeadFile;
  /** The target's file, and its sum, which must be the one that the head was trained for. */
  readonly target: GgufFile;
  readonly targetSha256: string;
  /** Folder of all packs. */
  readonly packsDirectory: string;
}

/** A head that is ready to load: dims and range are those of its own small decoder. */
export interface PackedHead {
  readonly onnxPath: string;
  readonly dims: ModelDims;
  readonly range: LayerRange;
  /** Its graph ranks tokens and tells how sure it is. */
  readonly confident: true;
  /** Of the manifest; 0 where it was not measured. */
  readonly greedyShift: number;
}

/** Packs a head, or reuses the pack of an earlier start. Throws ModelFileError, PullError. */
export async function packHead(options: HeadPackOptions): Promise<PackedHead> {
  const { head, target, targetSha256, packsDirectory } = options;
  const dims = headDims(head.manifest, modelDims(target), targetSha256);
  const name = `head${packFormat}-${head.manifest.weights.sha256.slice(0, 16)}-${targetSha256.slice(0, 16)}`;
  const directory = join(packsDirectory, name);
  const packed = {
    onnxPath: join(directory, graphName),
    dims,
    range: { start: 0, end: dims.layers },
    confident: true,
    greedyShift: head.manifest.greedyShift ?? 0,
  } as const;
  if (await exists(directory)) return packed;
  const unfinished = `${directory}.part-${process.pid}`;
  try {
    await mkdir(unfinished, { recursive: true });
    await writeHead(unfinished, head, target, dims);
    await rename(unfinished, directory);
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    // Another process may have been faster; its pack is as good.
    if (await exists(directory)) return packed;
    throw systemCode(error) === '' || error instanceof ModelFileError
      ? error
      : storeFailure(error, directory);
  }
  return packed;
}

/** The head as a model of its own. Throws ModelFileError unsupported where it was made for another target. */
function headDims(manifest: HeadManifest, target: ModelDims, targetSha256: string): ModelDims {
  const differing = Object.entries(manifest.dims).find(
    ([key, value]) => target[key as keyof HeadManifest['dims']] !== value,
  );
  if (differing !== undefined || manifest.target.sha256 !== targetSha256) {
    throw new ModelFileError(
      'unsupported',
      `the draft head was trained for ${manifest.target.name} (sha256 ${manifest.target.sha256}), not for this file; ` +
        'train one with: npm run train-head -- --model FILE.gguf',
    );
  }
  return { ...target, layers: manifest.layers.length };
}

async function writeHead(
  directory: string,
  head: HeadFile,
  target: GgufFile,
  dims: ModelDims,
): Promise<void> {
  const file = await WeightFile.open(join(directory, weightsName), weightsName);
  try {
    const weights = await new HeadTransfer(head, target, dims, file).run();
    await file.finish();
    const graph = decoderGraph(dims, { start: 0, end: dims.layers }, weights);
    await writeFile(join(directory, graphName), graph, { flush: true });
  } finally {
    await file.close();
  }
}

class HeadTransfer {
  readonly #head: HeadFile;
  readonly #source: GgufFile;
  readonly #dims: ModelDims;
  readonly #target: WeightFile;

  constructor(head: HeadFile, source: GgufFile, dims: ModelDims, target: WeightFile) {
    this.#head = head;
    this.#source = source;
    this.#dims = dims;
    this.#target = target;
  }

  async run(): Promise<ShardWeights> {
    const { positions, cosines, sines } = ropeTables(this.#dims);
    const tableShape = [positions, this.#dims.headDim / 2];
    const rope = {
      cosines: await this.#target.append('float32', tableShape, cosines),
      sines: await this.#target.append('float32', tableShape, sines),
    };
    const embedding = await storeEmbedding(this.#target, await this.#targetMatrix('token_embd.weight'));
    const layers: LayerWeights[] = [];
    for (let layer = 0; layer < this.#dims.layers; layer++) layers.push(await this.#layer(layer));
    return { embedding, layers, tail: await this.#tail(), rope };
  }

  async #layer(layer: number): Promise<LayerWeights> {
    const { hidden, heads, kvHeads, headDim, ffn } = this.#dims;
    const name = (part: string): string => `layers.${layer}.${part}`;
    const weights = {
      inputNorm: await this.#vector(name('input_norm')),
      qkv: [await this.#linear(name('qkv'), (heads + 2 * kvHeads) * headDim, hidden)],
      attentionOutput: await this.#linear(name('attention_output'), hidden, heads * headDim),
      postNorm: await this.#vector(name('post_norm')),
      gateUp: [await this.#linear(name('gate_up'), 2 * ffn, hidden)],
      down: await this.#linear(name('down'), hidden, ffn),
    };
    if (layer !== this.#head.manifest.bridgeBefore) return weights;
    const bridge = {
      norm: await this.#vector('bridge.norm'),
      linear: await this.#linear('bridge.linear', hidden, hidden),
      bias: await this.#vector('bridge.bias'),
    };
    return { ...weights, bridge };
  }

  /** The target's own rows for the head's tokens, in ascending order of ids so that ties go to the lower one. */
  async #tail(): Promise<NonNullable<ShardWeights['tail']>> {
    const { draftVocab } = this.#head.manifest;
    const { bytes } = headTensorOf(this.#head, 'ids', 'I32', [draftVocab]);
    const ids = new Int32Array(bytes.slice().buffer);
    if (ids.some((id, i) => id >= this.#dims.vocab || id <= (i === 0 ? -1 : ids[i - 1]!))) {
      throw new ModelFileError('corrupt', `${this.#head.path}: ids are not ascending token ids`);
    }
    const rows = rowsOf(await this.#targetMatrix(headTensor(this.#source)), ids);
    return {
      norm: await this.#vector('norm'),
      head: await storeLinear(this.#target, linearForm(rows, 'native')),
      ids: {
        type: 'int64',
        shape: [draftVocab],
        data: new Uint8Array(BigInt64Array.from(ids, BigInt).buffer),
      },
    };
  }

  async #targetMatrix(name: string): Promise<StoredMatrix> {
    const { vocab, hidden } = this.#dims;
    const { type } = tensorOf(this.#source, name, [vocab, hidden]);
    return { type, rows: vocab, columns: hidden, bytes: await readTensorBytes(this.#source, name) };
  }

  async #vector(name: string): Promise<ExternalTensor> {
    const shape = [this.#dims.hidden];
    const { bytes } = headTensorOf(this.#head, name, 'F16', shape);
    return this.#target.append('float32', shape, dequantize('F16', bytes, this.#dims.hidden));
  }

  async #linear(name: string, rows: number, columns: number): Promise<LinearWeights> {
    const blocks = columns / block8bit;
    const codes = headTensorOf(this.#head, `${name}.codes`, 'I8', [rows, columns]).bytes;
    const scales = headTensorOf(this.#head, `${name}.scales`, 'F16', [rows, blocks]).bytes;
    return storeLinear(this.#target, {
      kind: 'codes',
      rows,
      columns,
      bits: 8,
      block: block8bit,
      // Signed codes move to where the kernel has its zero.
      codes: codes.map((code) => code ^ 0x80),
      scales: dequantize('F16', scales, rows * blocks),
      minimums: null,
    });
  }
}

/** Some rows of a matrix; rows are whole blocks, so they move as they are. */
function rowsOf(matrix: StoredMatrix, ids: Int32Array): StoredMatrix {
  const rowBytes = matrix.bytes.length / matrix.rows;
  const bytes = new Uint8Array(ids.length * rowBytes);
  ids.forEach((id, row) => {
    bytes.set(matrix.bytes.subarray(id * rowBytes, (id + 1) * rowBytes), row * rowBytes);
  });
  return { ...matrix, rows: ids.length, bytes };
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
