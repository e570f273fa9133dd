/**
 * A matrix of the model file in the form that a linear layer is stored in: its own codes, 8 bit block 32, or float32.
 * Invariant: `native` changes no weight; `8bit` keeps a matrix that is 8 bit block 32 already. Matrices of one form
 * can be stacked row upon row.
 */
import type { Quantisation } from '../../shards/manifest.ts';
import type { GgufTypeName } from './block-formats.ts';
import { isQuantised } from './block-unpackers.ts';
import { dequantize } from './dequantize.ts';
import { eightBitCodes, type NativeCodes, nativeCodes } from './native-codes.ts';

/** W [rows, columns] as the model file stores it. */
export interface StoredMatrix {
  readonly type: GgufTypeName;
  readonly rows: number;
  readonly columns: number;
  readonly bytes: Uint8Array;
}

export type LinearForm =
  | ({ readonly kind: 'codes'; readonly rows: number; readonly columns: number } & NativeCodes)
  /** values [rows, columns] */
  | {
      readonly kind: 'float';
      readonly rows: number;
      readonly columns: number;
      readonly values: Float32Array;
    };

/** Columns that share a scale in the 8-bit form. */
export const block8bit = 32;

export function linearForm(matrix: StoredMatrix, quantisation: Quantisation): LinearForm {
  const { type, rows, columns, bytes } = matrix;
  if (quantisation !== 'fp32' && isQuantised(type)) {
    const codes = nativeCodes(type, bytes, rows, columns);
    if (quantisation === 'native' || isExact8bit(codes)) return { kind: 'codes', rows, columns, ...codes };
  }
  const values = dequantize(type, bytes, rows * columns);
  if (quantisation === 'fp32' || columns % block8bit !== 0) return { kind: 'float', rows, columns, values };
  return { kind: 'codes', rows, columns, ...eightBitCodes(values, rows, columns) };
}

/** All parts as one matrix, the rows of the first on top; null if their forms differ. */
export function stackedForm(parts: readonly LinearForm[]): LinearForm | null {
  const first = parts[0]!;
  const rows = parts.reduce((sum, part) => sum + part.rows, 0);
  if (first.kind === 'float') {
    const floats = parts.filter((part) => part.kind === 'float');
    if (floats.length < parts.length) return null;
    return { ...first, rows, values: concatFloats(floats.map((part) => part.values)) };
  }
  const coded = parts.filter((part) => part.kind === 'codes');
  const alike = coded.filter(
    (part) =>
      part.bits === first.bits &&
      part.block === first.block &&
      (part.minimums === null) === (first.minimums === null),
  );
  if (alike.length < parts.length) return null;
  return {
    ...first,
    rows,
    codes: Buffer.concat(alike.map((part) => part.codes)),
    scales: concatFloats(alike.map((part) => part.scales)),
    minimums: first.minimums === null ? null : concatFloats(alike.map((part) => part.minimums!)),
  };
}

function isExact8bit(codes: NativeCodes): boolean {
  return codes.bits === 8 && codes.block === block8bit && codes.minimums === null;
}

function concatFloats(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  return all;
}
