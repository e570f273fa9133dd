/**
 * What a decoder graph is built from: the weights of a layer range by their role, each with where its bytes lie and in
 * which form. Shapes are those of the kernels that read them.
 */
import type { StoredTensor } from './onnx-writer.ts';

/** y = x W' with W [rows, columns] as codes: w = (code - 2^(bits-1)) * scale + the correction's share. */
export interface CodedLinear {
  readonly kind: 'codes';
  readonly rows: number;
  readonly columns: number;
  readonly bits: 4 | 8;
  readonly block: 16 | 32;
  /** uint8 [rows, columns / block, block * bits / 8] */
  readonly codes: StoredTensor;
  /** [rows, columns / block] */
  readonly scales: StoredTensor;
  /** [columns / block, rows]: what formats with a minimum add to each weight of a block; multiplies block sums of x. */
  readonly correction: StoredTensor | null;
}

export interface FloatLinear {
  readonly kind: 'float';
  readonly rows: number;
  readonly columns: number;
  /** W' [columns, rows] */
  readonly weight: StoredTensor;
}

export type LinearWeights = CodedLinear | FloatLinear;

/** Rows of the embedding: float32 [V, H], or 8-bit codes [V, H] with scales [V, H / block]. */
export type EmbeddingWeights =
  | { readonly kind: 'float'; readonly rows: StoredTensor }
  | {
      readonly kind: 'codes';
      readonly block: 16 | 32;
      readonly codes: StoredTensor;
      readonly scales: StoredTensor;
    };

/** What joins layers that did not lie next to one another: x' = linear(norm(x)) + bias. */
export interface BridgeWeights {
  readonly norm: StoredTensor;
  readonly linear: LinearWeights;
  /** [H] */
  readonly bias: StoredTensor;
}

export interface LayerWeights {
  /** Before the layer; left out where layers follow one another as in the model. */
  readonly bridge?: BridgeWeights;
  readonly inputNorm: StoredTensor;
  /** One linear whose rows are q, k, v; or the three apart where their stored forms differ. */
  readonly qkv: readonly LinearWeights[];
  readonly attentionOutput: LinearWeights;
  readonly postNorm: StoredTensor;
  /** One linear whose rows are gate, then up; or the two apart where their stored forms differ. */
  readonly gateUp: readonly LinearWeights[];
  readonly down: LinearWeights;
}

export interface TailWeights {
  readonly norm: StoredTensor;
  readonly head: LinearWeights;
  /** int64 [head rows]: the token that each row of the head scores, where the head does not score all in order. */
  readonly ids?: StoredTensor;
}

export interface ShardWeights {
  /** At the first range. */
  readonly embedding: EmbeddingWeights | null;
  readonly layers: readonly LayerWeights[];
  /** At the tail. */
  readonly tail: TailWeights | null;
  /** [positions, headDim / 2] each. */
  readonly rope: { readonly cosines: StoredTensor; readonly sines: StoredTensor };
}
