import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createExecutor, type Executor } from '../../../shards/executor.ts';
import { KvCache } from '../../../shards/kv-cache.ts';
import { findDraftHead } from '../../../src/draft-heads.ts';
import { type GgufFile, readGguf } from '../../../src/models/gguf.ts';
import { readHeadFile, readHeadManifest } from '../../../src/models/head-file.ts';
import { type PackedHead, packHead } from '../../../src/models/head-pack.ts';
import { tinyModel, writeTinyGguf } from '../../support/tiny-gguf.ts';
import { writeTinyHead } from '../../support/tiny-head.ts';

/** Every third token. */
const scored = Array.from({ length: 100 }, (_, i) => 3 * i + 1);
const text = Uint32Array.from({ length: 12 }, (_, i) => 5 + ((i * 37) % 300));

let directory: string;
let target: GgufFile;
let targetSha256: string;
let manifestPath: string;
let pack: PackedHead;
let executor: Executor;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'foretoken-head-'));
  const written = await writeTinyGguf(join(directory, 'tiny.gguf'));
  targetSha256 = written.sha256;
  target = await readGguf(written.path);
  manifestPath = await writeTinyHead({ directory, targetSha256, ids: scored });
  pack = await packTinyHead();
  executor = await createExecutor({ ...pack, threads: 1, minRows: 2 });
});

after(async () => {
  await executor.dispose();
  await rm(directory, { recursive: true });
});

async function packTinyHead(): Promise<PackedHead> {
  const packsDirectory = join(directory, 'packs');
  return packHead({ head: await readHeadFile(manifestPath), target, targetSha256, packsDirectory });
}

function newCache(): KvCache {
  const cache = new KvCache({ layers: 2, kvHeads: tinyModel.kvHeads, headDim: tinyModel.headDim });
  cache.grow(64);
  return cache;
}

/** Runs the text in passes of so many rows; the outputs of all rows. */
async function run<K extends 'logits' | 'argmax' | 'ranking'>(want: K, passRows: number) {
  const cache = newCache();
  const outputs = [];
  for (let at = 0; at < text.length; at += passRows) {
    const ids = text.slice(at, at + passRows);
    const [result] = await executor.run([{ ids, hidden: null, cache, headFrom: 0, want }]);
    cache.append(result!.newkv, ids.length, result!.passRows);
    outputs.push(result);
  }
  return {
    logits: outputs.flatMap(({ logits }) => [...(logits ?? [])]),
    argmax: outputs.flatMap(({ argmax }) => [...(argmax ?? [])]),
    ranking: outputs.flatMap(({ ranking }) => [...(ranking?.ids ?? [])]),
    chances: outputs.flatMap(({ ranking }) => [...(ranking?.chances ?? [])]),
  };
}

test('packHead makes a decoder that ranks tokens of its own vocabulary alone, with their probability', async () => {
  const { logits } = await run('logits', text.length);
  const { argmax } = await run('argmax', text.length);
  const { ranking, chances } = await run('ranking', text.length);
  assert.equal(ranking.length, 4 * text.length);
  const { vocab } = tinyModel;
  assert.equal(logits.length, text.length * vocab);
  for (let row = 0; row < text.length; row++) {
    const scores = logits.slice(row * vocab, (row + 1) * vocab);
    scores.forEach((score, id) => {
      assert.equal(Number.isFinite(score), scored.includes(id), `token ${id}`);
    });
    const best = Math.max(...scores);
    assert.equal(argmax[row], scores.indexOf(best));
    const total = scored.reduce((sum, id) => sum + Math.exp(scores[id]! - best), 0);
    const ranked = [...scored].sort((a, b) => scores[b]! - scores[a]! || a - b).slice(0, 4);
    assert.deepEqual(ranking.slice(4 * row, 4 * row + 4), ranked);
    for (const [place, id] of ranked.entries()) {
      const chance = Math.exp(scores[id]! - best) / total;
      assert.ok(
        Math.abs(chances[4 * row + place]! - chance) < 1e-5,
        `${chances[4 * row + place]} and ${chance}`,
      );
    }
  }
  assert.ok(new Set(argmax).size > 3, 'it says different things');
});

test('packHead makes a decoder whose bits do not depend on how the text is cut', async () => {
  const whole = await run('logits', text.length);
  for (const passRows of [1, 5]) assert.deepEqual((await run('logits', passRows)).logits, whole.logits);
});

test('packHead reuses a pack and leaves nothing beside it', async () => {
  assert.deepEqual(await packTinyHead(), pack);
  assert.equal((await readdir(join(directory, 'packs'))).length, 1);
});

test('packHead refuses a head of another target and says what to do', async () => {
  const head = await readHeadFile(manifestPath);
  const other = { head, target, targetSha256: '0'.repeat(64), packsDirectory: join(directory, 'packs') };
  await assert.rejects(packHead(other), /trained for tiny .*npm run train-head/s);
  const dims = { ...head.manifest.dims, ffn: 128 };
  const wider = { ...head, manifest: { ...head.manifest, dims } };
  await assert.rejects(packHead({ ...other, head: wider, targetSha256 }), /trained for tiny/);
});

test('readHeadFile refuses files that do not belong together or contradict themselves', async () => {
  const folder = await mkdtemp(join(directory, 'bad-'));
  const write = (manifest: Record<string, unknown>): Promise<string> =>
    writeTinyHead({ directory: folder, targetSha256, ids: scored, manifest });
  for (const [manifest, message] of [
    [{ format: 2 }, /no draft head of format 1/],
    [{ layers: [] }, /contradicts itself/],
    [{ bridgeBefore: 2 }, /contradicts itself/],
    [{ draftVocab: 1_000_000 }, /contradicts itself/],
    [{ dims: { hidden: 64 } }, /contradicts itself/],
    [{ greedyShift: 9 }, /contradicts itself/],
    [{ greedyShift: 'much' }, /contradicts itself/],
  ] as const) {
    await assert.rejects(readHeadFile(await write(manifest)), message);
  }
  const path = await write({});
  const weightPath = join(folder, 'tiny.safetensors');
  const bytes = await readFile(weightPath);
  bytes[bytes.length - 1]! ^= 1;
  await writeFile(weightPath, bytes);
  await assert.rejects(readHeadFile(path), /is not the file that/);
  await rm(weightPath);
  await assert.rejects(readHeadFile(path), { code: 'missing' });
  await writeFile(path, '{');
  await assert.rejects(readHeadManifest(path), { code: 'corrupt' });
});

test('findDraftHead finds the shipped head by the sum of its target, the own one first', async () => {
  const shipped = 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53';
  assert.match((await findDraftHead(directory, shipped)) ?? '', /smollm2-135m-instruct\.json$/);
  const { manifest, tensors } = await readHeadFile((await findDraftHead(directory, shipped))!);
  assert.equal(tensors.get('ids')!.shape[0], manifest.draftVocab);
  assert.equal(await findDraftHead(directory, targetSha256), null);
});
