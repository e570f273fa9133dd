import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ModelDims } from '../../../shards/manifest.ts';
import { headCostInLayers, splitLayers } from '../../../src/cluster/placement.ts';

const smol: ModelDims = {
  architecture: 'llama',
  layers: 30,
  hidden: 576,
  heads: 9,
  kvHeads: 3,
  headDim: 64,
  ffn: 1536,
  vocab: 49152,
  contextLength: 8192,
  ropeTheta: 100000,
  rmsEpsilon: 1e-5,
};

test('headCostInLayers is about six layers for the default model', () => {
  assert.ok(Math.abs(headCostInLayers(smol) - 6) < 0.5);
});

test('splitLayers gives the tail fewer layers', () => {
  assert.deepEqual(splitLayers(smol, 2), [
    { start: 0, end: 18 },
    { start: 18, end: 30 },
  ]);
});

test('splitLayers covers all layers without gap for any number of parts', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 40 }), (layers, wanted) => {
      const parts = Math.min(layers, wanted);
      const ranges = splitLayers({ ...smol, layers }, parts);
      assert.equal(ranges.length, parts);
      let covered = 0;
      for (const { start, end } of ranges) {
        assert.equal(start, covered);
        assert.ok(end > start);
        covered = end;
      }
      assert.equal(covered, layers);
    }),
  );
});

test('splitLayers refuses more parts than layers', () => {
  assert.throws(() => splitLayers(smol, 31), RangeError);
});
