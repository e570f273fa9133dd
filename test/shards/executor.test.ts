/** Promise 1 at its root: a row's logits are the same bytes however the model and the sequence are cut. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { quantisations } from '../../shards/manifest.ts';
import { differingRows, forwardInDrafts, forwardInPasses, openShardChain } from '../support/shard-chain.ts';
import { type TinyGgufOptions, tinyModel, writeTinyGguf } from '../support/tiny-gguf.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foretoken-executor-'));
});
after(() => rm(folder, { recursive: true, force: true }));

const ids = Array.from({ length: 150 }, (_, i) => (i * i * 7 + i * 31 + 5) % tinyModel.vocab);
const cutsToTry = [[], [3], [1, 5], [1, 2, 3, 5]];

async function assertInvariant(
  name: string,
  options: TinyGgufOptions,
  quantisation: (typeof quantisations)[number],
) {
  const { path } = await writeTinyGguf(join(folder, `${name}.gguf`), options);
  const directory = join(folder, name);
  const { vocab } = { ...tinyModel, ...options };
  const whole = await openShardChain(path, directory, { quantisation });
  const expected = (await whole.forward(ids)).slice();
  await whole.dispose();
  for (const cuts of cutsToTry) {
    const chain = await openShardChain(path, directory, {
      quantisation,
      cuts,
      threads: cuts.length === 1 ? 2 : 1,
    });
    for (const rows of [1, 7, 64, ids.length]) {
      const logits = await forwardInPasses(chain, ids, () => rows);
      assert.equal(differingRows(logits, expected, vocab), 0, `cuts ${cuts}, passes of ${rows}`);
    }
    for (const seed of [1, 2]) {
      const logits = await forwardInDrafts(chain, ids, seed);
      assert.equal(differingRows(logits, expected, vocab), 0, `cuts ${cuts}, drafts ${seed}`);
    }
    await chain.dispose();
  }
}

for (const quantisation of quantisations) {
  test(`logits do not depend on cuts, passes, drafts: ${quantisation}`, async () => {
    await assertInvariant(`plain-${quantisation}`, {}, quantisation);
  });
}

const shapes: Record<string, TinyGgufOptions> = {
  'one kv head': { heads: 4, kvHeads: 1 },
  'wide heads': { heads: 2, kvHeads: 2, headDim: 128 },
  untied: { tied: false, ffn: 160 },
  'q6_k everywhere': {
    hidden: 256,
    ffn: 256,
    headDim: 64,
    tensorType: (name) => (/norm/.test(name) ? null : 'Q6_K'),
  },
};
for (const [name, options] of Object.entries(shapes)) {
  test(`logits do not depend on cuts, passes, drafts: ${name}`, async () => {
    await assertInvariant(name.replaceAll(' ', '-'), options, 'native');
  });
}
