/** The GGUF reader on good files, and on files that are truncated, lie or are something else. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { blockFormats, type GgufTypeName } from '../../../src/models/block-formats.ts';
import { readGguf, readTensorBytes } from '../../../src/models/gguf.ts';
import { ModelFileError, type ModelFileErrorCode } from '../../../src/models/model-file-error.ts';
import {
  type EncodableGguf,
  type EncodableTensor,
  type EncodableValue,
  encodeGguf,
  string,
  u32,
  u64,
} from '../../support/gguf-encoder.ts';
import { tinyGguf, writeTinyGguf } from '../../support/tiny-gguf.ts';

const folder = await mkdtemp(join(tmpdir(), 'foretoken-gguf-'));
after(() => rm(folder, { recursive: true }));

let files = 0;
async function fileOf(bytes: Uint8Array): Promise<string> {
  const path = join(folder, `${files++}.gguf`);
  await writeFile(path, bytes);
  return path;
}

const floats = (name: string, length: number): EncodableTensor => ({
  name,
  type: 'F32',
  shape: [length],
  data: Buffer.from(Float32Array.from({ length }, (_, i) => i).buffer),
});

const small: EncodableGguf = {
  metadata: new Map<string, EncodableValue>([['general.architecture', { type: 'string', value: 'llama' }]]),
  tensors: [floats('first', 8), floats('second', 5)],
};

function withKey(key: string, value: EncodableValue): EncodableGguf {
  return { ...small, metadata: new Map([...small.metadata, [key, value]]) };
}

/** The small file with the second tensor changed. */
function withSecond(change: Partial<EncodableTensor>): EncodableGguf {
  return { ...small, tensors: [small.tensors[0], { ...small.tensors[1], ...change }] };
}

async function assertRefused(
  contents: EncodableGguf | Uint8Array,
  code: ModelFileErrorCode,
  words: RegExp,
): Promise<void> {
  const path = await fileOf(contents instanceof Uint8Array ? contents : encodeGguf(contents));
  await assert.rejects(readGguf(path), (error) => {
    assert.ok(error instanceof ModelFileError, String(error));
    assert.equal(error.code, code, error.message);
    assert.ok(error.message.startsWith(path), 'the message names the file');
    assert.match(error.message, words);
    return true;
  });
}

describe('readGguf', () => {
  test('reads metadata of every type', async () => {
    const values: [string, EncodableValue, unknown][] = [
      ['u32', { type: 'u32', value: 4_000_000_000 }, 4_000_000_000],
      ['i32', { type: 'i32', value: -5 }, -5],
      ['f32', { type: 'f32', value: 0.5 }, 0.5],
      ['f64', { type: 'f64', value: 0.1 }, 0.1],
      ['exact', { type: 'u64', value: 2n ** 53n - 1n }, 2 ** 53 - 1],
      ['beyond', { type: 'u64', value: 2n ** 63n }, 2n ** 63n],
      ['bool', { type: 'bool', value: true }, true],
      ['string', { type: 'string', value: 'snow ☃' }, 'snow ☃'],
      ['strings', { type: 'strings', value: ['a', '', '☃'] }, ['a', '', '☃']],
      ['i32s', { type: 'i32s', value: [1, -2] }, [1, -2]],
      ['u8', { type: 'raw', typeId: 0, value: Buffer.from([200]) }, 200],
      ['i8', { type: 'raw', typeId: 1, value: Buffer.from([200]) }, -56],
      ['u16', { type: 'raw', typeId: 2, value: Buffer.from([1, 2]) }, 513],
      ['i16', { type: 'raw', typeId: 3, value: Buffer.from([255, 255]) }, -1],
      ['i64', { type: 'raw', typeId: 11, value: Buffer.alloc(8, 255) }, -1],
      ['nested', { type: 'raw', typeId: 9, value: nestedArray(3) }, [[[]]]],
    ];
    const metadata = new Map(values.map(([key, value]) => [key, value]));
    const file = await readGguf(await fileOf(encodeGguf({ metadata, tensors: [] })));
    assert.deepEqual(
      [...file.metadata],
      values.map(([key, , value]) => [key, value]),
    );
  });

  test('reads versions 2 and 3, and tensors where they are', async () => {
    for (const version of [2, 3]) {
      const file = await readGguf(await fileOf(encodeGguf({ ...small, version })));
      assert.equal(file.version, version);
      assert.deepEqual([...file.tensors.keys()], ['first', 'second']);
      const bytes = await readTensorBytes(file, 'second');
      assert.deepEqual(bytes, new Uint8Array(small.tensors[1].data));
    }
  });

  test('gives shapes with rows first', async () => {
    const file = await readGguf((await writeTinyGguf(join(folder, 'tiny.gguf'))).path);
    assert.deepEqual(file.tensors.get('blk.5.ffn_down.weight')?.shape, [64, 96]);
    assert.equal(file.tensors.get('blk.5.ffn_down.weight')?.bytes, ((64 * 96) / 32) * 20);
  });

  test('honours general.alignment', async () => {
    const aligned = { ...withKey('general.alignment', { type: 'u32', value: 1024 }), alignment: 1024 };
    const file = await readGguf(await fileOf(encodeGguf(aligned)));
    assert.equal(file.tensors.get('second')!.offset % 1024, 0);
    assert.deepEqual(await readTensorBytes(file, 'second'), new Uint8Array(small.tensors[1].data));
  });

  test('reads headers that are longer than one window', async () => {
    const tokens = Array.from({ length: 60_000 }, (_, i) => `token ${i}`);
    const long = 'x'.repeat(400_000);
    const contents = withKey('tokens', { type: 'strings', value: [...tokens, long] });
    const file = await readGguf(await fileOf(encodeGguf(contents)));
    assert.deepEqual(file.metadata.get('tokens'), [...tokens, long]);
    assert.deepEqual(await readTensorBytes(file, 'second'), new Uint8Array(small.tensors[1].data));
  });

  test('refuses what is not a GGUF file', async () => {
    const bytes = encodeGguf(small);
    await assertRefused(Buffer.from('PK\x03\x04 a zip archive'), 'not_gguf', /expected "GGUF"/);
    await assertRefused(Buffer.from('GGUF'), 'not_gguf', /too short/);
    await assertRefused(new Uint8Array(0), 'not_gguf', /too short/);
    await assertRefused({ ...small, version: 1 }, 'not_gguf', /version 1 .*2 and 3/);
    await assertRefused({ ...small, version: 4 }, 'not_gguf', /version 4/);
    bytes.writeUInt32BE(3, 4);
    await assertRefused(bytes, 'not_gguf', /big-endian/);
  });

  test('refuses what cannot be opened', async () => {
    const missing = (error: unknown) => error instanceof ModelFileError && error.code === 'missing';
    await assert.rejects(readGguf(join(folder, 'nowhere.gguf')), missing);
    await assert.rejects(readGguf(folder), missing);
    await assert.rejects(readGguf('/dev/zero'), missing);
  });

  test('refuses a file cut off anywhere', async () => {
    const bytes = encodeGguf(small);
    const path = await fileOf(bytes);
    // The last tensor's padding is not part of it.
    for (let length = bytes.length - 12 - 1; length >= 8; length--) {
      await truncate(path, length);
      await assert.rejects(readGguf(path), (error) => {
        assert.ok(error instanceof ModelFileError, String(error));
        assert.equal(error.code, 'truncated', `${length} bytes: ${error.message}`);
        return true;
      });
    }
  });

  test('refuses counts beyond limits or beyond the file before it believes them', async () => {
    const huge = 2n ** 63n;
    await assertRefused({ ...small, lie: { tensorCount: huge } }, 'limit', /tensor count/);
    await assertRefused({ ...small, lie: { tensorCount: 60_000 } }, 'truncated', /tensor count.*60000/);
    await assertRefused({ ...small, lie: { metadataCount: huge } }, 'limit', /metadata count/);
    await assertRefused({ ...small, lie: { metadataCount: 4000 } }, 'truncated', /metadata count/);
    const raw = (typeId: number, ...value: Uint8Array[]) =>
      withKey('lie', { type: 'raw', typeId, value: Buffer.concat(value) });
    await assertRefused(raw(8, u64(huge)), 'limit', /lie: count/);
    await assertRefused(raw(8, u64(1_000_000)), 'truncated', /lie: 1000000 entries/);
    await assertRefused(raw(9, u32(8), u64(huge)), 'limit', /lie: count/);
    await assertRefused(raw(9, u32(10), u64(1000)), 'truncated', /lie: 1000 entries of at least 8/);
    await assertRefused(raw(9, nestedArray(4)), 'limit', /nested deeper/);
  });

  test('refuses metadata that contradicts itself', async () => {
    const raw = (typeId: number, value: Uint8Array) => withKey('odd', { type: 'raw', typeId, value });
    await assertRefused(raw(13, u32(0)), 'corrupt', /odd: unknown value type 13/);
    await assertRefused(raw(9, Buffer.concat([u32(77), u64(0)])), 'corrupt', /unknown value type 77/);
    await assertRefused(raw(7, Buffer.from([2])), 'corrupt', /boolean/);
    await assertRefused(raw(8, Buffer.concat([u64(2), Buffer.from([0xc3, 0x28])])), 'corrupt', /not UTF-8/);
    const twice = Buffer.concat([string('x'), string('odd'), u32(7), Buffer.from([1])]);
    const doubled = { ...raw(8, twice), lie: { metadataCount: 3 } };
    await assertRefused(doubled, 'corrupt', /odd: this metadata key occurs twice/);
    for (const value of [0, 3, 2 ** 21]) {
      const aligned = withKey('general.alignment', { type: 'u32', value });
      await assertRefused(aligned, 'corrupt', /general.alignment: expected a power of two/);
    }
    const text = withKey('general.alignment', { type: 'string', value: '32' });
    await assertRefused(text, 'corrupt', /general.alignment/);
  });

  test('refuses tensors that lie about themselves', async () => {
    const lies: [EncodableTensor['lie'], ModelFileErrorCode, RegExp][] = [
      [{ typeId: 23 }, 'unsupported', /second: type IQ4_XS \(23\) cannot be read; readable are F32/],
      [{ typeId: 4_000_000_000 }, 'unsupported', /type number 4000000000/],
      [{ dims: [] }, 'corrupt', /second: 0 dimensions/],
      [{ dims: [1, 1, 1, 1, 5] }, 'limit', /5 dimensions/],
      [{ dims: [5, 0] }, 'corrupt', /dimension 1 is 0/],
      [{ dims: [2n ** 63n] }, 'limit', /elements/],
      [{ dims: [2 ** 31, 2 ** 31] }, 'limit', /elements/],
      [{ dims: [2 ** 20] }, 'truncated', /second: it ends at byte/],
      [{ typeId: 8, dims: [40] }, 'corrupt', /40 elements are not whole Q8_0 blocks of 32/],
      [{ offset: 2n ** 63n }, 'truncated', /offset 9223372036854775808 is beyond/],
      [{ offset: 4 }, 'corrupt', /offset 4 is not a multiple of the alignment 32/],
      [{ offset: 96 }, 'truncated', /second: it ends at byte/],
      [{ offset: 0 }, 'corrupt', /overlap/],
    ];
    for (const [lie, code, words] of lies) await assertRefused(withSecond({ lie: lie! }), code, words);
    await assertRefused(withSecond({ name: 'first' }), 'corrupt', /first: this tensor name occurs twice/);
    await assertRefused(withSecond({ name: '' }), 'corrupt', /the name is empty/);
    await assertRefused(withSecond({ name: 'n'.repeat(65) }), 'limit', /name of tensor 1: count 65/);
  });
});

describe('readTensorBytes', () => {
  test('refuses an unknown name and a file that changed', async () => {
    const path = await fileOf(encodeGguf(small));
    const file = await readGguf(path);
    await assert.rejects(readTensorBytes(file, 'third'), /there is no tensor third/);
    await truncate(path, file.sizeBytes - 1);
    await assert.rejects(readTensorBytes(file, 'first'), /the file changed/);
  });
});

describe('writeTinyGguf', () => {
  test('is the same file for the same options, and another for another seed', async () => {
    const write = async (seed: number) => (await writeTinyGguf(join(folder, 'seeded.gguf'), { seed })).sha256;
    assert.equal(await write(1), await write(1));
    assert.notEqual(await write(1), await write(2));
  });

  test('writes every type that can be read', async () => {
    for (const type of Object.keys(blockFormats) as GgufTypeName[]) {
      const tensorType = (name: string) => (name.includes('norm') ? null : type);
      const options = { layers: 1, hidden: 256, headDim: 64, ffn: 256, vocab: 260, tensorType };
      const file = await readGguf(await fileOf(encodeGguf(tinyGguf(options))));
      assert.equal(file.tensors.get('blk.0.attn_q.weight')?.type, type);
    }
  });
});

/** The bytes of an array value: `depth` arrays of one array each, the innermost empty. */
function nestedArray(depth: number): Buffer {
  const levels = Array.from({ length: depth - 1 }, () => Buffer.concat([u32(9), u64(1)]));
  return Buffer.concat([...levels, u32(8), u64(0)]);
}
