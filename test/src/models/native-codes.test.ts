/** The codes that MatMulNBits gets give back the dequantised weights: exactly for native codes, nearly for 8 bit. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { blockFormats, type GgufTypeName } from '../../../src/models/block-formats.ts';
import { dequantize } from '../../../src/models/dequantize.ts';
import { ModelFileError } from '../../../src/models/model-file-error.ts';
import { eightBitCodes, type NativeCodes, nativeCodes } from '../../../src/models/native-codes.ts';
import { randomRow, seededRandom } from '../../support/random-blocks.ts';

/** What MatMulNBits makes of codes, in float32, as the kernel's contract says. */
function weightsOf({ bits, block, codes, scales, minimums }: NativeCodes): Float32Array {
  const weights = new Float32Array(scales.length * block);
  for (let i = 0; i < weights.length; i++) {
    const code = bits === 8 ? codes[i] : (codes[i >> 1] >> (4 * (i & 1))) & 15;
    const group = Math.floor(i / block);
    weights[i] =
      minimums === null ? (code - 2 ** (bits - 1)) * scales[group] : code * scales[group] + minimums[group];
  }
  return weights;
}

const expectedForms = {
  Q4_0: [4, 32, false],
  Q4_1: [4, 32, true],
  Q4_K: [4, 32, true],
  Q5_0: [8, 32, false],
  Q5_1: [8, 32, true],
  Q5_K: [8, 32, true],
  Q8_0: [8, 32, false],
  Q6_K: [8, 16, false],
} as const;

describe('nativeCodes', () => {
  for (const type of Object.keys(expectedForms) as (keyof typeof expectedForms)[]) {
    const [rows, cols] = [5, 512];
    const random = seededRandom(7);
    const bytes = Buffer.concat(Array.from({ length: rows }, () => randomRow(type, cols, 1, random)));

    test(`${type} has its form and shapes`, () => {
      const { bits, block, codes, scales, minimums } = nativeCodes(type, bytes, rows, cols);
      assert.deepEqual([bits, block, minimums !== null], expectedForms[type]);
      assert.equal(codes.length, (rows * cols * bits) / 8);
      assert.equal(scales.length, (rows * cols) / block);
      assert.equal(minimums?.length ?? scales.length, scales.length);
    });

    test(`${type} gives back the dequantised weights exactly`, () => {
      const weights = weightsOf(nativeCodes(type, bytes, rows, cols));
      assert.deepEqual(weights, dequantize(type, bytes, rows * cols));
    });

    test(`${type} refuses rows that are not whole blocks, and a wrong number of bytes`, () => {
      const { elements } = blockFormats[type];
      assert.throws(() => nativeCodes(type, bytes, rows, cols - elements / 2), code('unsupported'));
      assert.throws(() => nativeCodes(type, bytes.subarray(1), rows, cols), code('corrupt'));
    });
  }

  test('floats have no codes', () => {
    for (const type of ['F32', 'F16', 'BF16'] satisfies GgufTypeName[]) {
      assert.throws(() => nativeCodes(type, new Uint8Array(128), 1, 32), code('unsupported'));
    }
  });
});

describe('eightBitCodes', () => {
  test('is within half a step of every weight', () => {
    const random = seededRandom(3);
    const weights = Float32Array.from({ length: 4 * 64 }, () => (random() - 0.5) * 10 ** (4 * random() - 2));
    const packed = eightBitCodes(weights, 4, 64);
    const back = weightsOf(packed);
    for (let i = 0; i < weights.length; i++) {
      const step = packed.scales[Math.floor(i / 32)];
      assert.ok(Math.abs(back[i] - weights[i]) <= step * 0.5001, `${i}: ${weights[i]} became ${back[i]}`);
    }
  });

  test('keeps zeros, extremes and subnormals inside the range of codes', () => {
    const weights = new Float32Array(96);
    weights.set([3, -3, 0], 32);
    weights.set([1e-44, -1e-44, 2e-45], 64);
    const { codes, scales } = eightBitCodes(weights, 1, 96);
    assert.deepEqual([...codes.subarray(0, 3)], [128, 128, 128]);
    assert.deepEqual([...codes.subarray(32, 35)], [255, 1, 128]);
    assert.ok(scales.every((scale) => scale >= 0 && Number.isFinite(scale)));
    assert.ok(codes.every((value) => value >= 1));
  });

  test('refuses weights that are not finite, and ragged rows', () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const weights = new Float32Array(64).fill(1);
      weights[40] = bad;
      assert.throws(() => eightBitCodes(weights, 1, 64), code('corrupt'));
    }
    assert.throws(() => eightBitCodes(new Float32Array(40), 1, 40), code('unsupported'));
    assert.throws(() => eightBitCodes(new Float32Array(64), 3, 32), code('corrupt'));
  });
});

function code(expected: ModelFileError['code']) {
  return (error: unknown) => error instanceof ModelFileError && error.code === expected;
}
