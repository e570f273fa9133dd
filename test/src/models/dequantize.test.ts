/** Dequantisation against vectors of the reference implementation (test/fixtures/make-dequantize-vectors.py). */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { blockFormats, type GgufTypeName } from '../../../src/models/block-formats.ts';
import { dequantize } from '../../../src/models/dequantize.ts';
import { ModelFileError } from '../../../src/models/model-file-error.ts';

const path = new URL('../../fixtures/dequantize-vectors.json', import.meta.url);
const vectors = JSON.parse(readFileSync(path, 'utf8')) as Record<
  GgufTypeName,
  { blocks: string; weights: string }
>;

describe('dequantize', () => {
  test('has a reference vector for every type', () => {
    assert.deepEqual(Object.keys(vectors).sort(), Object.keys(blockFormats).sort());
  });

  for (const type of Object.keys(blockFormats) as GgufTypeName[]) {
    test(`${type} equals the reference bit by bit`, () => {
      const expected = Buffer.from(vectors[type].weights, 'base64');
      const weights = dequantize(type, Buffer.from(vectors[type].blocks, 'base64'), expected.length / 4);
      assert.equal(Buffer.from(weights.buffer).toString('hex'), expected.toString('hex'));
    });

    test(`${type} at an odd offset of a larger buffer gives the same`, () => {
      const blocks = Buffer.from(vectors[type].blocks, 'base64');
      const shifted = Buffer.concat([Buffer.from([255]), blocks]).subarray(1);
      const elements = Buffer.from(vectors[type].weights, 'base64').length / 4;
      const plain = dequantize(type, blocks, elements);
      assert.deepEqual(Buffer.from(dequantize(type, shifted, elements).buffer), Buffer.from(plain.buffer));
    });

    test(`${type} refuses bytes that are not those of the elements`, () => {
      const { elements, bytes } = blockFormats[type];
      assert.throws(() => dequantize(type, new Uint8Array(bytes + 1), elements), ModelFileError);
      assert.throws(() => dequantize(type, new Uint8Array(0), elements), ModelFileError);
    });
  }
});
