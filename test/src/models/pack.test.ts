import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type GgufFile, readGguf } from '../../../src/models/gguf.ts';
import { openPack, type PackOptions, packShard } from '../../../src/models/pack.ts';
import { writeTinyGguf } from '../../support/tiny-gguf.ts';

let folder: string;
let file: GgufFile;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foretoken-pack-'));
  file = await readGguf((await writeTinyGguf(join(folder, 'model.gguf'))).path);
});
after(() => rm(folder, { recursive: true, force: true }));

const optionsFor = (name: string): PackOptions => ({
  file,
  sha256: 'sum of the model',
  modelName: 'tiny',
  range: { start: 0, end: 3 },
  quantisation: 'native',
  directory: join(folder, name),
});

test('packShard writes a pack that openPack finds, and reports its progress', async () => {
  const progress: [number, number][] = [];
  const options = optionsFor('whole');
  const packed = await packShard({ ...options, onProgress: (done, total) => progress.push([done, total]) });
  assert.deepEqual((await readdir(packed.directory)).sort(), [
    'pack.json',
    'probe.onnx',
    'shard.bin',
    'shard.onnx',
    'shared.onnx',
  ]);
  assert.deepEqual(await openPack(packed.directory, { verify: true }), packed);
  assert.equal(packed.dims.layers, 6);
  const [done, total] = progress.at(-1)!;
  assert.equal(done, total);
});

test('packShard reuses a whole pack and replaces one of another range or size', async () => {
  const options = optionsFor('reused');
  const { onnxPath, directory } = await packShard(options);
  const { mtimeMs } = await stat(onnxPath);
  await packShard(options);
  assert.equal((await stat(onnxPath)).mtimeMs, mtimeMs);
  await truncate(join(directory, 'shard.bin'), 5000);
  await assert.rejects(openPack(directory), { code: 'corrupt', message: /shard\.bin has 5000 bytes/ });
  await packShard(options);
  await openPack(directory, { verify: true });
  const tail = await packShard({ ...options, range: { start: 3, end: 6 } });
  assert.deepEqual((await openPack(directory)).range, tail.range);
});

test('packShard gives equal bytes for equal input', async () => {
  const first = await packShard(optionsFor('equal-1'));
  const second = await packShard(optionsFor('equal-2'));
  for (const name of ['shard.bin', 'shard.onnx', 'shared.onnx', 'probe.onnx']) {
    assert.ok(
      (await readFile(join(first.directory, name))).equals(await readFile(join(second.directory, name))),
    );
  }
});

test('openPack finds a changed byte when asked to verify', async () => {
  const { directory } = await packShard(optionsFor('changed'));
  const path = join(directory, 'shard.bin');
  const bytes = await readFile(path);
  bytes[100]! ^= 1;
  await writeFile(path, bytes);
  await openPack(directory);
  await assert.rejects(openPack(directory, { verify: true }), {
    code: 'corrupt',
    message: /does not have the sum/,
  });
});

test('packShard leaves nothing behind when it is stopped', async () => {
  const options = optionsFor('stopped');
  const stop = new AbortController();
  const onProgress = (): void => stop.abort(new Error('enough'));
  await assert.rejects(packShard({ ...options, signal: stop.signal, onProgress }), /enough/);
  assert.deepEqual(await readdir(options.directory), []);
  await assert.rejects(openPack(options.directory), { code: 'missing' });
});

test('packShard says so when the disk is full', async (t) => {
  const full = '/dev/full';
  if ((await stat(full).catch(() => null)) === null) return t.skip('no /dev/full here');
  const options = optionsFor('full');
  await mkdir(options.directory);
  await symlink(full, join(options.directory, `shard.bin.part-${process.pid}`));
  await assert.rejects(packShard(options), { code: 'disk_full' });
  assert.deepEqual(await readdir(options.directory), []);
});

test('packShard refuses a range that the model does not have', async () => {
  const options = { ...optionsFor('range'), range: { start: 3, end: 7 } };
  await assert.rejects(packShard(options), { code: 'unsupported', message: /layers \[0, 6\), not \[3, 7\)/ });
});
