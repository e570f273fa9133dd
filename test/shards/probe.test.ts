import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { proveInvariance, proveInvarianceOnce } from '../../shards/probe.ts';
import type { PackedShard } from '../../src/models/pack.ts';
import { packRanges } from '../support/shard-chain.ts';
import { writeTinyGguf } from '../support/tiny-gguf.ts';

let folder: string;
let packs: PackedShard[];
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foretoken-probe-'));
  const { path } = await writeTinyGguf(join(folder, 'model.gguf'));
  packs = await packRanges(path, folder, [2, 4], 'native');
});
after(() => rm(folder, { recursive: true, force: true }));

test('proveInvariance holds for first, inner and last ranges, with one fingerprint', async () => {
  const proofs = [];
  for (const pack of packs) proofs.push(await proveInvariance({ ...pack, threads: 1 }));
  assert.ok(proofs.every((proof) => proof.invariant && proof.shareable));
  assert.equal(new Set(proofs.map((proof) => proof.fingerprint)).size, 1);
  assert.match(proofs[0]!.fingerprint, /^[0-9a-f]{64}$/);
});

test('proveInvariance finds a graph whose shared rows are those of other weights', async () => {
  const { path } = await writeTinyGguf(join(folder, 'other.gguf'), { seed: 9 });
  const [, other] = await packRanges(path, join(folder, 'other'), [2, 4], 'native');
  const proof = await proveInvariance({ ...packs[1]!, shared: other!.shared, threads: 1 });
  assert.deepEqual([proof.invariant, proof.shareable], [true, false]);
});

test('proveInvarianceOnce proves once and again when its note is torn', async () => {
  const cachePath = join(folder, 'proof.json');
  const options = { ...packs[0]!, threads: 1 };
  const proof = await proveInvarianceOnce(options, cachePath);
  assert.deepEqual(JSON.parse(await readFile(cachePath, 'utf8')), proof);
  const marked = { ...proof, fingerprint: 'as noted' };
  await writeFile(cachePath, JSON.stringify(marked));
  assert.deepEqual(await proveInvarianceOnce(options, cachePath), marked);
  await writeFile(cachePath, '{"invariant": tr');
  assert.deepEqual(await proveInvarianceOnce(options, cachePath), proof);
});
