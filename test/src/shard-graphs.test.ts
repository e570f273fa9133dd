import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseGraphs, type GraphOptions } from '../../src/shard-graphs.ts';

const shared = { onnxPath: 'shared.onnx', slots: 8 };
const options: GraphOptions = {
  pack: { onnxPath: 'shard.onnx', shared, weightBytes: 100e6 },
  batchSessions: 8,
  batchGraphs: 'auto',
  kvBytesMax: 1e9,
  availableBytes: 0,
};
const one = { ...shared, shared: null };
const two = { onnxPath: 'shard.onnx', slots: 1, shared };

test('chooseGraphs takes two graphs where four workers could, else the one that carries all', () => {
  assert.deepEqual(chooseGraphs({ ...options, availableBytes: 1e9 + 16 * 100e6 }), two);
  assert.deepEqual(chooseGraphs({ ...options, availableBytes: 1e9 + 16 * 100e6 - 1 }), one);
});

test('chooseGraphs does what it is told, and never loads slots that nobody may use', () => {
  assert.deepEqual(chooseGraphs({ ...options, batchGraphs: 'two' }), two);
  assert.deepEqual(chooseGraphs({ ...options, batchGraphs: 'one', availableBytes: 1e12 }), one);
  const off = { onnxPath: 'shard.onnx', slots: 1, shared: null };
  for (const batchGraphs of ['auto', 'one', 'two'] as const) {
    assert.deepEqual(chooseGraphs({ ...options, batchGraphs, batchSessions: 1, availableBytes: 1e12 }), off);
  }
});
