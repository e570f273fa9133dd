/**
 * An untrained draft head for a tiny model as a pair of files: weights are random, so it is hardly ever right, which is
 * all the same to what is tested with it. Equal options give equal bytes.
 */
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { seededRandom } from './random-blocks.ts';
import { tinyModel } from './tiny-gguf.ts';

export interface TinyHeadOptions {
  readonly directory: string;
  /** Sum of the target's file. */
  readonly targetSha256: string;
  /** Tokens that it scores, ascending. */
  readonly ids: readonly number[];
  /** Changes the manifest before it is written. */
  readonly manifest?: Record<string, unknown>;
  readonly layers?: number;
}

/** Writes tiny.json and tiny.safetensors; gives the manifest's path. */
export async function writeTinyHead(options: TinyHeadOptions): Promise<string> {
  const { directory, targetSha256, ids, layers = 2 } = options;
  const { hidden, heads, kvHeads, headDim, ffn, vocab } = tinyModel;
  const random = seededRandom(5);
  const tensors = new Map<string, { dtype: string; shape: number[]; data: Buffer }>();
  const vector = (name: string, of: () => number): void => {
    const data = Buffer.from(Uint16Array.from({ length: hidden }, of).buffer);
    tensors.set(name, { dtype: 'F16', shape: [hidden], data });
  };
  const matrix = (name: string, rows: number, columns: number): void => {
    const codes = Int8Array.from({ length: rows * columns }, () => Math.floor(255 * random()) - 127);
    const scales = new Uint16Array((rows * columns) / 32).fill(halfOf.smallScale);
    tensors.set(`${name}.codes`, { dtype: 'I8', shape: [rows, columns], data: Buffer.from(codes.buffer) });
    tensors.set(`${name}.scales`, {
      dtype: 'F16',
      shape: [rows, columns / 32],
      data: Buffer.from(scales.buffer),
    });
  };
  for (let layer = 0; layer < layers; layer++) {
    for (const norm of ['input_norm', 'post_norm']) vector(`layers.${layer}.${norm}`, () => halfOf.one);
    matrix(`layers.${layer}.qkv`, (heads + 2 * kvHeads) * headDim, hidden);
    matrix(`layers.${layer}.attention_output`, hidden, heads * headDim);
    matrix(`layers.${layer}.gate_up`, 2 * ffn, hidden);
    matrix(`layers.${layer}.down`, hidden, ffn);
  }
  for (const norm of ['bridge.norm', 'norm']) vector(norm, () => halfOf.one);
  vector('bridge.bias', () => halfOf.zero);
  matrix('bridge.linear', hidden, hidden);
  const idBytes = Buffer.from(Int32Array.from(ids).buffer);
  tensors.set('ids', { dtype: 'I32', shape: [ids.length], data: idBytes });

  const weights = encodeSafetensors(tensors);
  await writeFile(join(directory, 'tiny.safetensors'), weights);
  const manifest = {
    format: 1,
    target: { name: 'tiny', sha256: targetSha256 },
    dims: { hidden, heads, kvHeads, headDim, ffn, vocab },
    layers: Array.from({ length: layers }, (_, i) => i),
    bridgeBefore: layers - 1,
    draftVocab: ids.length,
    weights: {
      file: 'tiny.safetensors',
      bytes: weights.length,
      sha256: createHash('sha256').update(weights).digest('hex'),
    },
    training: null,
    ...options.manifest,
  };
  const path = join(directory, 'tiny.json');
  await writeFile(path, JSON.stringify(manifest));
  return path;
}

/** Half-precision numbers as their bits; smallScale is 2^-9, which makes rows of 64 random codes of about unit gain. */
const halfOf = { zero: 0, one: 0x3c00, smallScale: 0x1800 } as const;

function encodeSafetensors(
  tensors: ReadonlyMap<string, { dtype: string; shape: number[]; data: Buffer }>,
): Buffer {
  let offset = 0;
  const header: Record<string, unknown> = {};
  for (const [name, { dtype, shape, data }] of tensors) {
    header[name] = { dtype, shape, data_offsets: [offset, offset + data.length] };
    offset += data.length;
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, ...[...tensors.values()].map(({ data }) => data)]);
}
