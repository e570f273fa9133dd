/**
 * What a shard is: the layer range it serves, the model it was cut from, and everything that decides the
 * bits of its arithmetic. Two workers may replace one another only if range and identity are equal.
 */

/** Decoder layers [start, end), half-open. */
export interface LayerRange {
  readonly start: number;
  readonly end: number;
}

/** Dimensions of a decoder as the engine needs them. */
export interface ModelDims {
  readonly architecture: 'llama';
  readonly layers: number;
  /** Width of a hidden row. */
  readonly hidden: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Width of the feed-forward layer. */
  readonly ffn: number;
  readonly vocab: number;
  /** Positions that the file was trained for (rope tables are made for these). */
  readonly contextLength: number;
  readonly ropeTheta: number;
  readonly rmsEpsilon: number;
}

/** How the linears are stored: the file's own codes, 8 bit block 32, or float32. */
export const quantisations = ['native', '8bit', 'fp32'] as const;
export type Quantisation = (typeof quantisations)[number];

/** All that decides the bits of a logit. Compared field by field; no field is advisory. */
export interface Identity {
  readonly modelSha256: string;
  readonly quantisation: Quantisation;
  /** Rotary form of the packed Q/K rows; one form for the whole cluster (real weights differ by 1.4 in a logit otherwise). */
  readonly rotary: 'half';
  /** Attention never sees a single row. */
  readonly padAttention: boolean;
  /** Flash attention cuts keys by the machine's L2 size, so it must be off. */
  readonly flashAttention: false;
  readonly runtime: string;
  /** Type of hidden rows on the wire. */
  readonly wire: 'f32';
  /** sha256 over the logits of a fixed probe: what instruction set and kernels make of the same graph. */
  readonly fingerprint: string;
}

/** A model given by path is named after its file, and file systems allow longer names. */
export const modelNameCharsMax = 200;

/** What `GET /v1/shard` answers, and what the gateway orders and checks workers by. */
export interface ShardManifest {
  readonly protocol: number;
  readonly modelName: string;
  readonly dims: ModelDims;
  readonly range: LayerRange;
  readonly identity: Identity;
  /** Did the start-up proof hold: are logits bit-equal for passes of one, seven and many rows? */
  readonly invariant: boolean;
  /** Bytes of key/value cache that one position takes in this range. */
  readonly kvBytesPerPosition: number;
}

export function isFirst(range: LayerRange): boolean {
  return range.start === 0;
}

export function isTail(range: LayerRange, dims: ModelDims): boolean {
  return range.end === dims.layers;
}

export function formatRange(range: LayerRange): string {
  return `[${range.start}, ${range.end})`;
}

/** The first field in which two identities differ, or null. */
export function identityDifference(a: Identity, b: Identity): keyof Identity | null {
  for (const key of Object.keys(a) as (keyof Identity)[]) if (a[key] !== b[key]) return key;
  return null;
}
