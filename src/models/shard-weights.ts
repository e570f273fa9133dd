/**
 * Carries the weights of one layer range from a model file into a shard's weight file. Reads only the tensors that
 * the range needs, one at a time. Invariant: rows of q and k are stored for rotary embedding of halves; llama files
 * have them interleaved (llama.cpp's conversion permutes them), and one form must hold for a whole cluster.
 */
import {
  isFirst,
  isTail,
  type LayerRange,
  type ModelDims,
  type Quantisation,
} from '../../shards/manifest.ts';
import type { EmbeddingWeights, LayerWeights, LinearWeights, ShardWeights } from './decoder-weights.ts';
import { dequantize } from './dequantize.ts';
import { type GgufFile, type GgufTensor, readTensorBytes } from './gguf.ts';
import { block8bit, type LinearForm, linearForm, type StoredMatrix, stackedForm } from './linear-form.ts';
import type { ExternalTensor } from './onnx-writer.ts';
import { ropeTables } from './rope-tables.ts';
import { headTensor, storeEmbedding, storeLinear, tensorOf } from './stored-weights.ts';
import type { WeightFile } from './weight-file.ts';
import { withHalvesApart } from './weight-layout.ts';

export interface WeightTransfer {
  readonly file: GgufFile;
  readonly dims: ModelDims;
  readonly range: LayerRange;
  readonly quantisation: Quantisation;
  readonly target: WeightFile;
  /** Called after each tensor with the bytes of the model file carried over so far. */
  readonly onBytes: (bytes: number) => void;
  /** Throws its reason between two tensors. */
  readonly signal: AbortSignal | null;
}

/** Names of the tensors that a range needs. Tied models use the embedding as head. */
export function tensorsOfRange(file: GgufFile, dims: ModelDims, range: LayerRange): string[] {
  const names = new Set<string>();
  if (isFirst(range)) names.add('token_embd.weight');
  for (let layer = range.start; layer < range.end; layer++) {
    for (const part of layerTensors) names.add(`blk.${layer}.${part}.weight`);
  }
  if (isTail(range, dims)) names.add('output_norm.weight').add(headTensor(file));
  return [...names];
}

/** Writes all weights of the range; gives where they lie. Throws ModelFileError, errors of the file system. */
export async function transferWeights(transfer: WeightTransfer): Promise<ShardWeights> {
  return new Transfer(transfer).run();
}

const layerTensors = [
  'attn_norm',
  'attn_q',
  'attn_k',
  'attn_v',
  'attn_output',
  'ffn_norm',
  'ffn_gate',
  'ffn_up',
  'ffn_down',
] as const;

class Transfer {
  readonly #source: WeightTransfer;
  #bytes = 0;

  constructor(source: WeightTransfer) {
    this.#source = source;
  }

  async run(): Promise<ShardWeights> {
    const { file, dims, range, target } = this.#source;
    const { positions, cosines, sines } = ropeTables(dims);
    const tableShape = [positions, dims.headDim / 2];
    const rope = {
      cosines: await target.append('float32', tableShape, cosines),
      sines: await target.append('float32', tableShape, sines),
    };
    const embedding = isFirst(range) ? await this.#embedding() : null;
    const layers: LayerWeights[] = [];
    for (let layer = range.start; layer < range.end; layer++) layers.push(await this.#layer(layer));
    const tail = isTail(range, dims)
      ? {
          norm: await this.#norm('output_norm.weight'),
          head: this.#tiedHead(embedding) ?? (await this.#linear(headTensor(file), dims.vocab, dims.hidden)),
        }
      : null;
    return { embedding, layers, tail, rope };
  }

  async #embedding(): Promise<EmbeddingWeights> {
    const { dims, target } = this.#source;
    return storeEmbedding(target, await this.#matrix('token_embd.weight', dims.vocab, dims.hidden));
  }

  /** A tied head over the embedding's own codes, where both are in this range and have the same form. */
  #tiedHead(embedding: EmbeddingWeights | null): LinearWeights | null {
    const { file, quantisation, dims } = this.#source;
    if (file.tensors.has('output.weight') || quantisation === 'fp32' || embedding?.kind !== 'codes')
      return null;
    const { block, scales } = embedding;
    if (quantisation === '8bit' && block !== block8bit) return null;
    const codes = { ...embedding.codes, shape: [dims.vocab, dims.hidden / block, block] };
    return {
      kind: 'codes',
      rows: dims.vocab,
      columns: dims.hidden,
      bits: 8,
      block,
      codes,
      scales,
      correction: null,
    };
  }

  async #layer(layer: number): Promise<LayerWeights> {
    const { hidden, heads, kvHeads, headDim, ffn } = this.#source.dims;
    const name = (part: (typeof layerTensors)[number]): string => `blk.${layer}.${part}.weight`;
    const queries = withHalvesApart(await this.#matrix(name('attn_q'), heads * headDim, hidden), headDim);
    const keys = withHalvesApart(await this.#matrix(name('attn_k'), kvHeads * headDim, hidden), headDim);
    const values = await this.#matrix(name('attn_v'), kvHeads * headDim, hidden);
    return {
      inputNorm: await this.#norm(name('attn_norm')),
      qkv: await this.#stack([queries, keys, values]),
      attentionOutput: await this.#linear(name('attn_output'), hidden, heads * headDim),
      postNorm: await this.#norm(name('ffn_norm')),
      gateUp: await this.#stack([
        await this.#matrix(name('ffn_gate'), ffn, hidden),
        await this.#matrix(name('ffn_up'), ffn, hidden),
      ]),
      down: await this.#linear(name('ffn_down'), hidden, ffn),
    };
  }

  async #norm(name: string): Promise<ExternalTensor> {
    const { dims, target } = this.#source;
    const tensor = tensorOf(this.#source.file, name, [dims.hidden]);
    const values = dequantize(tensor.type, await this.#read(tensor), dims.hidden);
    return target.append('float32', [dims.hidden], values);
  }

  async #linear(name: string, rows: number, columns: number): Promise<LinearWeights> {
    return this.#store(linearForm(await this.#matrix(name, rows, columns), this.#source.quantisation));
  }

  /** Linears of one input: one, if their forms allow it. */
  async #stack(matrices: readonly StoredMatrix[]): Promise<LinearWeights[]> {
    const forms = matrices.map((matrix) => linearForm(matrix, this.#source.quantisation));
    const stacked = stackedForm(forms);
    const stored: LinearWeights[] = [];
    for (const form of stacked === null ? forms : [stacked]) stored.push(await this.#store(form));
    return stored;
  }

  #store(form: LinearForm): Promise<LinearWeights> {
    return storeLinear(this.#source.target, form);
  }

  async #matrix(name: string, rows: number, columns: number): Promise<StoredMatrix> {
    const tensor = tensorOf(this.#source.file, name, [rows, columns]);
    return { type: tensor.type, rows, columns, bytes: await this.#read(tensor) };
  }

  async #read(tensor: GgufTensor): Promise<Uint8Array> {
    const { file, onBytes, signal } = this.#source;
    signal?.throwIfAborted();
    const bytes = await readTensorBytes(file, tensor.name);
    this.#bytes += tensor.bytes;
    onBytes(this.#bytes);
    return bytes;
  }
}
