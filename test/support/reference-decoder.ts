/**
 * A llama decoder in plain double precision, straight from the model file: no kernels, no caches, no cuts, and rotary
 * embedding on the interleaved rows that the file stores. What the engine's float32 packs are measured against.
 */
import { dequantize } from '../../src/models/dequantize.ts';
import { type GgufFile, readTensorBytes } from '../../src/models/gguf.ts';
import { modelDims } from '../../src/models/model-dims.ts';

/** ids → logits [ids.length][V] */
export type ReferenceDecoder = (ids: readonly number[]) => Float64Array[];

export async function createReferenceDecoder(file: GgufFile): Promise<ReferenceDecoder> {
  const { layers, hidden, heads, kvHeads, headDim, ropeTheta, rmsEpsilon } = modelDims(file);
  const weights = new Map<string, Float32Array>();
  for (const { name, type, shape } of file.tensors.values()) {
    const elements = shape.reduce((product, size) => product * size, 1);
    weights.set(name, dequantize(type, await readTensorBytes(file, name), elements));
  }
  const tensor = (name: string): Float32Array => weights.get(`${name}.weight`)!;

  const linear = (name: string, input: Float64Array): Float64Array => {
    const matrix = tensor(name);
    const output = new Float64Array(matrix.length / input.length);
    for (let row = 0; row < output.length; row++) {
      let sum = 0;
      for (let i = 0; i < input.length; i++) sum += matrix[row * input.length + i]! * input[i]!;
      output[row] = sum;
    }
    return output;
  };
  const norm = (name: string, row: Float64Array): Float64Array => {
    const weight = tensor(name);
    const meanSquare = row.reduce((sum, value) => sum + value * value, 0) / row.length;
    return row.map((value, i) => (value / Math.sqrt(meanSquare + rmsEpsilon)) * weight[i]!);
  };
  const rotate = (row: Float64Array, position: number): Float64Array => {
    const rotated = row.slice();
    for (let i = 0; i < row.length; i += 2) {
      const angle = position * ropeTheta ** (-(i % headDim) / headDim);
      rotated[i] = row[i]! * Math.cos(angle) - row[i + 1]! * Math.sin(angle);
      rotated[i + 1] = row[i + 1]! * Math.cos(angle) + row[i]! * Math.sin(angle);
    }
    return rotated;
  };
  const attend = (query: Float64Array, keys: Float64Array[], values: Float64Array[]): Float64Array => {
    const output = new Float64Array(heads * headDim);
    for (let head = 0; head < heads; head++) {
      const kvStart = Math.floor(head / (heads / kvHeads)) * headDim;
      const scores = keys.map((key) => {
        let dot = 0;
        for (let d = 0; d < headDim; d++) dot += query[head * headDim + d]! * key[kvStart + d]!;
        return dot / Math.sqrt(headDim);
      });
      const peak = Math.max(...scores);
      const shares = scores.map((score) => Math.exp(score - peak));
      const total = shares.reduce((sum, share) => sum + share, 0);
      values.forEach((value, at) => {
        for (let d = 0; d < headDim; d++)
          output[head * headDim + d]! += (shares[at]! / total) * value[kvStart + d]!;
      });
    }
    return output;
  };
  const plus = (a: Float64Array, b: Float64Array): Float64Array => a.map((value, i) => value + b[i]!);

  return (ids) => {
    const embedding = tensor('token_embd');
    let rows: Float64Array[] = ids.map((id) =>
      Float64Array.from(embedding.subarray(id * hidden, (id + 1) * hidden)),
    );
    for (let layer = 0; layer < layers; layer++) {
      const name = (part: string): string => `blk.${layer}.${part}`;
      const normed = rows.map((row) => norm(name('attn_norm'), row));
      const queries = normed.map((row, at) => rotate(linear(name('attn_q'), row), at));
      const keys = normed.map((row, at) => rotate(linear(name('attn_k'), row), at));
      const values = normed.map((row) => linear(name('attn_v'), row));
      rows = rows.map((row, at) => {
        const attended = attend(queries[at]!, keys.slice(0, at + 1), values.slice(0, at + 1));
        return plus(row, linear(name('attn_output'), attended));
      });
      rows = rows.map((row) => {
        const input = norm(name('ffn_norm'), row);
        const up = linear(name('ffn_up'), input);
        const gated = linear(name('ffn_gate'), input).map(
          (value, i) => (value / (1 + Math.exp(-value))) * up[i]!,
        );
        return plus(row, linear(name('ffn_down'), gated));
      });
    }
    const head = file.tensors.has('output.weight') ? 'output' : 'token_embd';
    return rows.map((row) => linear(head, norm('output_norm', row)));
  };
}
