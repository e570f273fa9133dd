import assert from 'node:assert/strict';
import { test } from 'node:test';
import ort from 'onnxruntime-node';
import { OnnxGraph } from '../../../src/models/onnx-writer.ts';
import { intField } from '../../../src/models/protobuf.ts';

const bytesOf = (values: Float32Array): Uint8Array => new Uint8Array(values.buffer);

test('OnnxGraph encodes inputs, weights, attributes and outputs as the runtime reads them', async () => {
  const graph = new OnnxGraph();
  const x = graph.input('x', 'float32', [1, 'rows', 2]);
  const weight = graph.weight({ type: 'float32', shape: [2, 2], data: bytesOf(Float32Array.of(1, 2, 3, 4)) });
  const product = graph.node('MatMul', [x, weight]);
  const scaled = graph.node('QuickGelu@com.microsoft', [product], { alpha: { float: 0 } });
  const last = graph.node('Slice', [
    scaled,
    graph.integers(-1),
    graph.integers(2n ** 40n),
    graph.integers(1),
  ]);
  graph.nodeTo(['y'], 'Identity', [last]);
  graph.output('y', 'float32', [1, 1, 2]);
  graph.nodeTo(['best'], 'ArgMax', [product], { axis: -1, keepdims: 0 });
  graph.output('best', 'int64', [1, 'rows']);

  const session = await ort.InferenceSession.create(graph.encode());
  const rows = new ort.Tensor('float32', Float32Array.of(1, 1, 2, -1), [1, 2, 2]);
  const { y, best } = await session.run({ x: rows });
  // QuickGelu with alpha 0 halves its input.
  assert.deepEqual([...(y!.data as Float32Array)], [-0.5, 0]);
  assert.deepEqual([...(best!.data as BigInt64Array)], [1n, 1n]);
  await session.release();
});

test('OnnxGraph.either computes one branch, at any depth, over values of the graphs around it', async () => {
  const graph = new OnnxGraph();
  const x = graph.input('x', 'float32', [2]);
  for (const name of ['outer', 'inner']) graph.input(name, 'bool', [1]);
  const two = graph.node('Add', [x, x]);
  const [y, z] = graph.either<[string, string]>(
    'outer',
    (branch) => {
      const four = branch.node('Add', [two, two]);
      const [deep] = branch.either<[string]>(
        'inner',
        (inside) => [inside.node('Mul', [four, x])],
        (inside) => [inside.node('Sub', [four, x])],
      );
      return [deep, branch.node('Identity', [x])];
    },
    (branch) => [branch.node('Identity', [two]), branch.node('Neg', [x])],
  );
  for (const [name, value] of [
    ['y', y],
    ['z', z],
  ] as const) {
    graph.nodeTo([name], 'Identity', [value]);
    graph.output(name, 'float32', [2]);
  }
  const session = await ort.InferenceSession.create(graph.encode());
  const run = async (outer: boolean, inner: boolean): Promise<number[]> => {
    const results = await session.run({
      x: new ort.Tensor('float32', Float32Array.of(3, 5), [2]),
      outer: new ort.Tensor('bool', [outer], [1]),
      inner: new ort.Tensor('bool', [inner], [1]),
    });
    return [results['y']!, results['z']!].flatMap(({ data }) => [...(data as Float32Array)]);
  };
  assert.deepEqual(await run(true, true), [36, 100, 3, 5]);
  assert.deepEqual(await run(true, false), [9, 15, 3, 5]);
  assert.deepEqual(await run(false, true), [6, 10, -3, -5]);
  await session.release();
});

test('OnnxGraph.integers shares equal constants', () => {
  const graph = new OnnxGraph();
  assert.equal(graph.integers(0, 1), graph.integers(0, 1));
  assert.notEqual(graph.integers(0), graph.integers(0, 1));
});

test('intField writes negatives as 64-bit two’s complement', () => {
  assert.deepEqual([...intField(3, -1)], [0x18, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
  assert.deepEqual([...intField(20, 300)], [0xa0, 0x01, 0xac, 0x02]);
});
