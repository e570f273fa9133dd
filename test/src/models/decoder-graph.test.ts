import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Quantisation } from '../../../shards/manifest.ts';
import type { GgufTypeName } from '../../../src/models/block-formats.ts';
import { decoderGraph } from '../../../src/models/decoder-graph.ts';
import { readGguf } from '../../../src/models/gguf.ts';
import { createReferenceDecoder } from '../../support/reference-decoder.ts';
import { openShardChain } from '../../support/shard-chain.ts';
import { type TinyGgufOptions, tinyModel, writeTinyGguf } from '../../support/tiny-gguf.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foretoken-graph-'));
});
after(() => rm(folder, { recursive: true, force: true }));

const ids = [1, 40, 300, 7, 7, 259, 0, 120, 33, 34, 35, 36];

interface Deviation {
  /** Largest difference between a logit and the reference's. */
  readonly worst: number;
  /** Root mean square of the differences over that of the logits. */
  readonly relative: number;
}

async function deviation(
  name: string,
  options: TinyGgufOptions,
  quantisation: Quantisation,
): Promise<Deviation> {
  const { path } = await writeTinyGguf(join(folder, `${name}.gguf`), options);
  const reference = (await createReferenceDecoder(await readGguf(path)))(ids);
  const chain = await openShardChain(path, join(folder, name), { quantisation });
  const logits = await chain.forward(ids);
  await chain.dispose();
  let worst = 0;
  let errors = 0;
  let squares = 0;
  reference.forEach((row, at) => {
    row.forEach((value, id) => {
      const error = Math.abs(value - logits[at * row.length + id]!);
      worst = Math.max(worst, error);
      errors += error ** 2;
      squares += value ** 2;
    });
  });
  return { worst, relative: Math.sqrt(errors / squares) };
}

const shapes: Record<string, TinyGgufOptions> = {
  'usual shape': {},
  'one key/value head': { heads: 4, kvHeads: 1 },
  'no grouping': { heads: 2, kvHeads: 2, headDim: 32 },
  'heads wider than hidden': { heads: 4, kvHeads: 2, headDim: 64, hidden: 96 },
  'head size 128': { heads: 2, kvHeads: 1, headDim: 128, layers: 2 },
  'untied head': { tied: false },
  'one layer': { layers: 1 },
};

for (const [name, options] of Object.entries(shapes)) {
  test(`decoderGraph fp32 equals the reference to 1e-3: ${name}`, async () => {
    const { worst } = await deviation(name.replaceAll(/\W/g, '-'), options, 'fp32');
    assert.ok(worst < 1e-3, `${worst}`);
  });
}

/** 8-bit inputs of the linears cost some accuracy, whatever the weights; a wrong weight costs ten times this. */
const quantisedError = 0.06;

for (const quantisation of ['native', '8bit'] as const) {
  test(`decoderGraph ${quantisation} stays near the reference`, async () => {
    const { relative } = await deviation(`near-${quantisation}`, {}, quantisation);
    assert.ok(relative < quantisedError, `${relative}`);
  });
}

const types: GgufTypeName[] = ['F16', 'BF16', 'Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q8_0', 'Q4_K', 'Q5_K', 'Q6_K'];
for (const type of types) {
  test(`decoderGraph native carries ${type} over`, async () => {
    const options = { hidden: 256, ffn: 256, heads: 4, kvHeads: 2, headDim: 64, layers: 2, tied: false };
    const tensorType = (name: string): GgufTypeName | null => (/norm/.test(name) ? null : type);
    const { relative } = await deviation(type, { ...options, tensorType }, 'native');
    assert.ok(relative < quantisedError, `${relative}`);
  });
}

test('decoderGraph runs q, k and v of different forms side by side', async () => {
  const tensorType = (name: string): GgufTypeName | null => (/attn_v|ffn_up/.test(name) ? 'Q8_0' : null);
  assert.ok((await deviation('mixed', { tensorType }, 'native')).relative < quantisedError);
  assert.ok((await deviation('mixed', { tensorType }, 'fp32')).worst < 1e-3);
});

test('decoderGraph refuses heads whose bits would follow the pass size', () => {
  const dims = {
    ...tinyModel,
    architecture: 'llama',
    headDim: 256,
    ropeTheta: 1e4,
    rmsEpsilon: 1e-5,
  } as const;
  const tensor = { type: 'float32', shape: [1], data: new Uint8Array(4) } as const;
  const weights = { embedding: null, layers: [], tail: null, rope: { cosines: tensor, sines: tensor } };
  assert.throws(() => decoderGraph(dims, { start: 0, end: 1 }, weights), /head size 256 is not supported/);
});
