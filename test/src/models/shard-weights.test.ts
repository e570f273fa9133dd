import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import ort from 'onnxruntime-node';
import { dequantize } from '../../../src/models/dequantize.ts';
import { readGguf, readTensorBytes } from '../../../src/models/gguf.ts';
import { modelDims } from '../../../src/models/model-dims.ts';
import { OnnxGraph } from '../../../src/models/onnx-writer.ts';
import { tensorsOfRange, transferWeights } from '../../../src/models/shard-weights.ts';
import { WeightFile } from '../../../src/models/weight-file.ts';
import { tinyModel, writeTinyGguf } from '../../support/tiny-gguf.ts';

test('tensorsOfRange names what a range needs and nothing else', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'foretoken-weights-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const file = await readGguf((await writeTinyGguf(join(folder, 'm.gguf'))).path);
  const dims = modelDims(file);
  const inner = tensorsOfRange(file, dims, { start: 2, end: 3 });
  assert.equal(inner.length, 9);
  assert.ok(inner.every((name) => name.startsWith('blk.2.')));
  assert.ok(tensorsOfRange(file, dims, { start: 0, end: 1 }).includes('token_embd.weight'));
  const tail = tensorsOfRange(file, dims, { start: 5, end: 6 });
  assert.ok(tail.includes('output_norm.weight') && tail.includes('token_embd.weight'));
});

test('transferWeights keeps an embedding whose looked-up rows are the dequantised ones, bit by bit', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'foretoken-weights-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  for (const type of ['Q8_0', 'Q5_0', 'Q6_K', 'Q4_0', 'Q4_1', 'F16'] as const) {
    const options = {
      hidden: 256,
      ffn: 256,
      layers: 1,
      tensorType: (name: string) => (/embd/.test(name) ? type : null),
    };
    const file = await readGguf((await writeTinyGguf(join(folder, `${type}.gguf`), options)).path);
    const dims = modelDims(file);
    const name = `${type}.bin`;
    const target = await WeightFile.open(join(folder, name), name);
    const { embedding } = await transferWeights({
      file,
      dims,
      range: { start: 0, end: 1 },
      quantisation: 'native',
      target,
      onBytes: () => {},
      signal: null,
    });
    await target.close();
    const bytes = await readFile(join(folder, name));
    const inline = (tensor: { offset?: number; bytes?: number; type: string; shape: readonly number[] }) => {
      assert.equal(tensor.offset! % 4096, 0);
      return {
        type: tensor.type as 'uint8' | 'float32',
        shape: tensor.shape,
        data: bytes.subarray(tensor.offset!, tensor.offset! + tensor.bytes!),
      };
    };
    const graph = new OnnxGraph();
    const ids = graph.input('ids', 'int64', [1, 'rows']);
    const rows =
      embedding!.kind === 'float'
        ? graph.node('Gather', [graph.weight(inline(embedding!.rows)), ids])
        : graph.node(
            'GatherBlockQuantized@com.microsoft',
            [graph.weight(inline(embedding!.codes)), ids, graph.weight(inline(embedding!.scales))],
            { bits: 8, block_size: embedding!.block, gather_axis: 0, quantize_axis: 1 },
          );
    assert.equal(embedding!.kind, ['Q8_0', 'Q5_0', 'Q6_K'].includes(type) ? 'codes' : 'float');
    graph.nodeTo(['y'], 'Identity', [rows]);
    graph.output('y', 'float32', [1, 'rows', dims.hidden]);
    const session = await ort.InferenceSession.create(graph.encode());
    const all = BigInt64Array.from({ length: tinyModel.vocab }, (_, id) => BigInt(id));
    const { y } = await session.run({ ids: new ort.Tensor('int64', all, [1, all.length]) });
    await session.release();
    const stored = file.tensors.get('token_embd.weight')!;
    const expected = dequantize(
      stored.type,
      await readTensorBytes(file, stored.name),
      dims.vocab * dims.hidden,
    );
    assert.ok(Buffer.from((y!.data as Float32Array).buffer).equals(Buffer.from(expected.buffer)), type);
  }
});
