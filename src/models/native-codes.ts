/**
 * Weights as MatMulNBits stores them. `nativeCodes` carries the file's own codes over without requantising, so that
 * code and scale give back exactly the dequantised weight; types of 5 and 6 bits are widened to 8. `eightBitCodes`
 * quantises float weights, symmetric, for what has no codes of its own or is asked to be 8 bit.
 */
import { blockFormats, type GgufTypeName } from './block-formats.ts';
import { isQuantised, newUnpackedBlock, unpackers } from './block-unpackers.ts';
import { ModelFileError } from './model-file-error.ts';

/** w = (code - 2^(bits-1)) * scale, or code * scale + minimum where there are minimums. */
export interface NativeCodes {
  readonly bits: 4 | 8;
  /** Elements that share a scale. */
  readonly block: 16 | 32;
  /** [rows, cols / block, block * bits / 8]; of two 4-bit neighbours the first is in the low nibble. */
  readonly codes: Uint8Array;
  /** [rows, cols / block] */
  readonly scales: Float32Array;
  /** [rows, cols / block], or null when the codes are symmetric around 2^(bits-1). */
  readonly minimums: Float32Array | null;
}

const EIGHT_BIT_BLOCK = 32;

/**
 * The stored bytes of a [rows, cols] tensor → its codes, unchanged. Throws ModelFileError: unsupported when the type has no
 * codes (plain floats) or cols is not a multiple of its block, corrupt when the bytes are not those of so many elements.
 */
export function nativeCodes(type: GgufTypeName, bytes: Uint8Array, rows: number, cols: number): NativeCodes {
  if (!isQuantised(type))
    throw new ModelFileError('unsupported', `${type} weights are floats and have no codes`);
  const format = blockFormats[type];
  const { bits, group, zero, unpack } = unpackers[type];
  requireWholeBlocks(cols, format.elements, type);
  const stored = ((rows * cols) / format.elements) * format.bytes;
  if (bytes.length !== stored) {
    const expected = `[${rows}, ${cols}] of ${type} takes ${stored} bytes`;
    throw new ModelFileError('corrupt', `${expected}, ${bytes.length} were given`);
  }

  const narrow = bits === 4;
  const codes = new Uint8Array(narrow ? (rows * cols) / 2 : rows * cols);
  const scales = new Float32Array((rows * cols) / group);
  const minimums = zero === null ? new Float32Array(scales.length) : null;
  // Symmetric codes move so that the weight 0 sits in the middle of the wider range.
  const shift = narrow || zero === null ? 0 : 128 - zero;
  const groups = format.elements / group;
  const block = newUnpackedBlock();
  for (let at = 0, to = 0, groupAt = 0; at < bytes.length; at += format.bytes, groupAt += groups) {
    unpack(bytes, at, block);
    if (narrow) {
      for (let i = 0; i < format.elements; i += 2) codes[to++] = block.codes[i] | (block.codes[i + 1] << 4);
    } else {
      for (let i = 0; i < format.elements; i++) codes[to++] = block.codes[i] + shift;
    }
    for (let i = 0; i < groups; i++) scales[groupAt + i] = block.scales[i];
    if (minimums !== null) for (let i = 0; i < groups; i++) minimums[groupAt + i] = block.minimums[i];
  }
  return { bits: narrow ? 4 : 8, block: group, codes, scales, minimums };
}

/**
 * Float weights [rows, cols] → symmetric 8-bit codes in blocks of 32, scale = largest magnitude / 127, halves rounded up.
 * Throws ModelFileError: unsupported when cols is not a multiple of 32, corrupt when a weight is not finite.
 */
export function eightBitCodes(weights: Float32Array, rows: number, cols: number): NativeCodes {
  requireWholeBlocks(cols, EIGHT_BIT_BLOCK, '8 bit');
  if (weights.length !== rows * cols) {
    throw new ModelFileError(
      'corrupt',
      `[${rows}, ${cols}] has ${rows * cols} weights, ${weights.length} were given`,
    );
  }
  const codes = new Uint8Array(rows * cols);
  const scales = new Float32Array((rows * cols) / EIGHT_BIT_BLOCK);
  for (let group = 0, start = 0; group < scales.length; group++, start += EIGHT_BIT_BLOCK) {
    let largest = 0;
    for (let i = 0; i < EIGHT_BIT_BLOCK; i++) largest = Math.max(largest, Math.abs(weights[start + i]));
    if (!Number.isFinite(largest))
      throw new ModelFileError('corrupt', `weight ${start} or one after it is not finite`);
    scales[group] = largest / 127;
    const scale = scales[group];
    if (scale === 0) {
      codes.fill(128, start, start + EIGHT_BIT_BLOCK);
      continue;
    }
    for (let i = 0; i < EIGHT_BIT_BLOCK; i++) {
      // Cutting off a positive number rounds down. A scale that was rounded down to a subnormal needs the bounds.
      const code = (weights[start + i] / scale + 128.5) | 0;
      codes[start + i] = Math.max(1, Math.min(code, 255));
    }
  }
  return { bits: 8, block: EIGHT_BIT_BLOCK, codes, scales, minimums: null };
}

function requireWholeBlocks(cols: number, block: number, what: string): void {
  if (cols % block === 0) return;
  throw new ModelFileError(
    'unsupported',
    `rows of ${cols} elements are not whole ${what} blocks of ${block}`,
  );
}
