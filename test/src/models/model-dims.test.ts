/** Dimensions out of a header, and the refusal by name of everything that the engine would compute wrongly. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { readGguf } from '../../../src/models/gguf.ts';
import { hasOutputTensor, modelDims } from '../../../src/models/model-dims.ts';
import { ModelFileError, type ModelFileErrorCode } from '../../../src/models/model-file-error.ts';
import {
  type EncodableGguf,
  type EncodableTensor,
  type EncodableValue,
  encodeGguf,
} from '../../support/gguf-encoder.ts';
import { tinyGguf, tinyModel } from '../../support/tiny-gguf.ts';

const folder = await mkdtemp(join(tmpdir(), 'foretoken-dims-'));
after(() => rm(folder, { recursive: true }));
const path = join(folder, 'model.gguf');

const tiny = tinyGguf({ layers: 2 });

async function dimsOf(contents: EncodableGguf) {
  await writeFile(path, encodeGguf(contents));
  return modelDims(await readGguf(path));
}

function withValue(key: string, value: EncodableValue): EncodableGguf {
  return { ...tiny, metadata: new Map([...tiny.metadata, [key, value]]) };
}

function without(...keys: string[]): EncodableGguf {
  return { ...tiny, metadata: new Map([...tiny.metadata].filter(([key]) => !keys.includes(key))) };
}

function withTensor(name: string, shape: number[]): EncodableGguf {
  const elements = shape.reduce((product, dim) => product * dim, 1);
  const tensor: EncodableTensor = { name, type: 'F32', shape, data: Buffer.alloc(elements * 4) };
  return { ...tiny, tensors: [...tiny.tensors.filter((other) => other.name !== name), tensor] };
}

async function assertRefused(
  contents: EncodableGguf,
  code: ModelFileErrorCode,
  words: RegExp,
): Promise<void> {
  await assert.rejects(dimsOf(contents), (error) => {
    assert.ok(error instanceof ModelFileError, String(error));
    assert.equal(error.code, code, error.message);
    assert.ok(error.message.startsWith(path), 'the message names the file');
    assert.match(error.message, words);
    return true;
  });
}

const u32 = (value: number): EncodableValue => ({ type: 'u32', value });
const f32 = (value: number): EncodableValue => ({ type: 'f32', value });
const text = (value: string): EncodableValue => ({ type: 'string', value });

describe('modelDims', () => {
  test('reads the dimensions of a llama file', async () => {
    const { hidden, heads, kvHeads, headDim, ffn, vocab, contextLength } = tinyModel;
    assert.deepEqual(await dimsOf(tiny), {
      ...{ architecture: 'llama', layers: 2, hidden, heads, kvHeads, headDim, ffn, vocab, contextLength },
      ...{ ropeTheta: 10_000, rmsEpsilon: Math.fround(1e-5) },
    });
  });

  test('fills in what the format lets files leave out', async () => {
    const prefix = (key: string) => `llama.${key}`;
    const optional = ['attention.key_length', 'attention.value_length', 'rope.dimension_count'];
    const keys = [...optional, 'rope.freq_base', 'vocab_size'].map(prefix);
    assert.deepEqual(await dimsOf(without(...keys)), await dimsOf(tiny));
    const multiHead = tinyGguf({ layers: 1, kvHeads: 4 });
    const metadata = new Map([...multiHead.metadata].filter(([key]) => !key.endsWith('head_count_kv')));
    assert.equal((await dimsOf({ ...multiHead, metadata })).kvHeads, 4);
  });

  test('takes keys at their neutral values', async () => {
    await dimsOf(withValue('llama.rope.scaling.type', text('none')));
    await dimsOf(withValue('llama.rope.scaling.factor', f32(1)));
    await dimsOf(withValue('llama.expert_count', u32(0)));
    await dimsOf(withValue('split.count', u32(1)));
  });

  test('takes a head of its own', async () => {
    const untied = tinyGguf({ layers: 1, tied: false });
    await dimsOf(untied);
    assert.equal(hasOutputTensor(await readGguf(path)), true);
    await dimsOf(tiny);
    assert.equal(hasOutputTensor(await readGguf(path)), false);
  });

  test('refuses other architectures and names the supported ones', async () => {
    const phi = withValue('general.architecture', text('phi3'));
    await assertRefused(phi, 'unsupported', /general.architecture is "phi3"; supported: llama/);
    await assertRefused(without('general.architecture'), 'missing', /general.architecture/);
  });

  test('refuses arithmetic that the engine does not have, by key and value', async () => {
    const refused: [string, EncodableValue, RegExp][] = [
      ['llama.rope.scaling.type', text('yarn'), /llama.rope.scaling.type = "yarn"/],
      ['llama.rope.scaling.factor', f32(8), /llama.rope.scaling.factor = 8/],
      ['llama.rope.scale_linear', f32(2), /llama.rope.scale_linear = 2/],
      ['llama.expert_count', u32(8), /llama.expert_count = 8/],
      ['llama.attention.sliding_window', u32(4096), /sliding_window = 4096/],
      ['llama.attention.causal', { type: 'bool', value: false }, /causal = false/],
      ['llama.attention.value_length', u32(32), /value_length is 32, the key length 16/],
      ['llama.rope.dimension_count', u32(8), /dimension_count is 8, the key length 16/],
      ['split.count', u32(3), /one of 3 split files/],
    ];
    for (const [key, value, words] of refused)
      await assertRefused(withValue(key, value), 'unsupported', words);
  });

  test('refuses tensors that no such decoder reads', async () => {
    await assertRefused(withTensor('rope_freqs.weight', [8]), 'unsupported', /rope_freqs.weight .*Llama 3.1/);
    await assertRefused(withTensor('blk.0.attn_q.bias', [64]), 'unsupported', /blk.0.attn_q.bias/);
    await assertRefused(withTensor('blk.2.attn_norm.weight', [64]), 'unsupported', /blk.2.*2 layers/);
  });

  test('refuses missing tensors and wrong shapes', async () => {
    for (const { name } of tiny.tensors) {
      const tensors = tiny.tensors.filter((tensor) => tensor.name !== name);
      await assertRefused(
        { ...tiny, tensors },
        'missing',
        new RegExp(`no tensor ${name.replaceAll('.', '\\.')}`),
      );
    }
    const wide = withTensor('blk.1.ffn_up.weight', [96, 128]);
    await assertRefused(wide, 'corrupt', /blk.1.ffn_up.weight is \[96, 128\], expected \[96, 64\]/);
    await assertRefused(withTensor('output_norm.weight', [1, 64]), 'corrupt', /\[1, 64\], expected \[64\]/);
  });

  test('refuses sizes that are missing, no sizes, beyond limits or at odds', async () => {
    await assertRefused(without('llama.block_count'), 'missing', /llama.block_count/);
    await assertRefused(without('llama.attention.layer_norm_rms_epsilon'), 'missing', /rms_epsilon/);
    await assertRefused(
      withValue('llama.block_count', u32(4_000_000_000)),
      'limit',
      /block_count is 4000000000/,
    );
    await assertRefused(withValue('llama.block_count', f32(1.5)), 'corrupt', /block_count is 1.5/);
    await assertRefused(withValue('llama.embedding_length', u32(0)), 'corrupt', /embedding_length is 0/);
    await assertRefused(withValue('llama.context_length', text('512')), 'corrupt', /context_length is "512"/);
    const perLayer: EncodableValue = { type: 'i32s', value: [4, 2] };
    await assertRefused(withValue('llama.attention.head_count', perLayer), 'corrupt', /an array of 2/);
    await assertRefused(withValue('llama.attention.head_count_kv', u32(3)), 'corrupt', /4 heads .* 3 key/);
    await assertRefused(withValue('llama.rope.freq_base', f32(0)), 'corrupt', /freq_base is 0/);
    await assertRefused(withValue('llama.vocab_size', u32(9)), 'corrupt', /vocab_size is 9, .* 320 rows/);
    const tokens: EncodableValue = { type: 'strings', value: ['a'] };
    await assertRefused(withValue('tokenizer.ggml.tokens', tokens), 'corrupt', /tokens is 1, .* 320 rows/);
  });
});
