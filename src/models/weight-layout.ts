/**
 * How weights lie in a shard against how they lie in a model file: rows moved, codes centred, matrices transposed.
 * Pure functions; no weight changes its value.
 */
import type { StoredMatrix } from './linear-form.ts';

/** Rows of each head from (pair, half) to (half, pair) order; whole rows move, so quantised blocks stay whole. */
export function withHalvesApart(matrix: StoredMatrix, headDim: number): StoredMatrix {
  const { rows, bytes } = matrix;
  const rowBytes = bytes.length / rows;
  const moved = new Uint8Array(bytes.length);
  for (let row = 0; row < rows; row++) {
    const within = row % headDim;
    const target = row - within + (within % 2) * (headDim / 2) + (within >> 1);
    moved.set(bytes.subarray(row * rowBytes, (row + 1) * rowBytes), target * rowBytes);
  }
  return { ...matrix, bytes: moved };
}

/** Where the codes of formats with a minimum are centred: these are of 4 or of 5 bits. */
const centres = { 4: 8, 8: 16 } as const;

/** 5-bit codes 0..31 around the 128 that the kernel subtracts: small differences keep the error of 8-bit inputs small. */
export function centred5bit(codes: Uint8Array): Uint8Array {
  return codes.map((code) => code + 128 - centres[8]);
}

/** C [blocks, rows] of y = MatMulNBits(x) + blockSums(x) C: w is (code - centre) * scale + C. */
export function blockSumWeights(
  bits: 4 | 8,
  scales: Float32Array,
  minimums: Float32Array,
  rows: number,
  blocks: number,
): Float32Array {
  const centre = centres[bits];
  const sums = new Float32Array(rows * blocks);
  for (let i = 0; i < sums.length; i++) sums[i] = minimums[i]! + centre * scales[i]!;
  return transpose(sums, rows, blocks);
}

/** [rows, columns] → [columns, rows] */
export function transpose(values: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++)
      out[column * rows + row] = values[row * columns + column]!;
  }
  return out;
}
