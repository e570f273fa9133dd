import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KvCache, kvBytesPerPosition } from '../../shards/kv-cache.ts';

const shape = { layers: 1, kvHeads: 1, headDim: 4 };

test('kvBytesPerPosition counts keys and values of all layers', () => {
  assert.equal(kvBytesPerPosition({ layers: 30, kvHeads: 3, headDim: 64 }), 46_080);
});

test('KvCache refuses rows that do not fit', () => {
  assert.throws(() => new KvCache(shape).append(new Float32Array(8), 1, 1), RangeError);
  assert.throws(() => new KvCache(shape).copyFrom(new KvCache(shape), 1), RangeError);
});
