/**
 * Whatever the bytes of a model file, reading it ends in time with a file or a ModelFileError, and what it builds is
 * bounded by the file: no count in a header is believed before there are bytes for it.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import { readGguf, readTensorBytes } from '../../src/models/gguf.ts';
import type { GgufValue } from '../../src/models/gguf-metadata.ts';
import { modelDims } from '../../src/models/model-dims.ts';
import { ModelFileError } from '../../src/models/model-file-error.ts';
import { encodeGguf } from '../support/gguf-encoder.ts';
import { tinyGguf } from '../support/tiny-gguf.ts';

const folder = await mkdtemp(join(tmpdir(), 'foretoken-fuzz-'));
after(() => rm(folder, { recursive: true }));
const path = join(folder, 'fuzzed.gguf');

const tiny = encodeGguf(tinyGguf({ layers: 1, hidden: 32, heads: 2, kvHeads: 1, ffn: 32, vocab: 260 }));
/** Enough for any header of the tiny file; real ones are held to seconds by their limits. */
const READ_MS_MAX = 2_000;
/** Bytes that JavaScript arrays and strings may take per byte of the file. */
const HEAP_PER_BYTE = 64;

/** Reads all that a packer would read. */
async function readAll(bytes: Uint8Array): Promise<void> {
  await writeFile(path, bytes);
  const before = performance.now();
  try {
    const file = await readGguf(path);
    assert.ok(countValues([...file.metadata.values()]) <= bytes.length, 'more values than bytes');
    for (const { name, bytes: size } of file.tensors.values()) {
      assert.equal((await readTensorBytes(file, name)).length, size);
    }
    modelDims(file);
  } catch (error) {
    if (!(error instanceof ModelFileError)) throw error;
    assert.ok(error.message.startsWith(path) && error.message.length < 1000 + path.length, error.message);
  }
  assert.ok(performance.now() - before < READ_MS_MAX, 'reading took too long');
}

function countValues(values: readonly GgufValue[]): number {
  return values.reduce<number>((sum, value) => sum + (Array.isArray(value) ? countValues(value) : 1), 0);
}

const headerBytes = tiny.indexOf(Buffer.from('output_norm.weight')) + 64;

describe('a fuzzed model file', () => {
  test('with flipped bytes is read or refused', async () => {
    const flip = fc.record({ at: fc.nat({ max: headerBytes }), value: fc.integer({ min: 0, max: 255 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(flip, { minLength: 1, maxLength: 8 }), async (flips) => {
        const bytes = Buffer.from(tiny);
        for (const { at, value } of flips) bytes[at] = value;
        await readAll(bytes);
      }),
      { numRuns: 600 },
    );
  });

  test('with one 64-bit field replaced by an extreme is read or refused', async () => {
    const extremes = [
      0n,
      1n,
      2n ** 16n,
      2n ** 21n,
      2n ** 31n,
      2n ** 32n - 1n,
      2n ** 53n,
      2n ** 63n,
      2n ** 64n - 1n,
    ];
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: headerBytes }), fc.constantFrom(...extremes), async (at, value) => {
        const bytes = Buffer.from(tiny);
        bytes.writeBigUInt64LE(value, at);
        await readAll(bytes);
      }),
      { numRuns: 400 },
    );
  });

  test('cut or spliced anywhere is read or refused', async () => {
    const place = fc.nat({ max: tiny.length });
    await fc.assert(
      fc.asyncProperty(place, place, async (start, end) => {
        await readAll(Buffer.concat([tiny.subarray(0, start), tiny.subarray(end)]));
      }),
      { numRuns: 200 },
    );
  });

  test('of random bytes after a valid start is read or refused', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), fc.nat({ max: 64 }), async (noise, keep) => {
        await readAll(Buffer.concat([tiny.subarray(0, 8 + keep), noise]));
      }),
      { numRuns: 300 },
    );
  });

  test('takes memory in proportion to its size', async () => {
    // The most values per byte: one array of booleans, one byte each.
    const length = 1 << 20;
    const flags = Buffer.alloc(12 + length);
    flags.writeUInt32LE(7);
    flags.writeBigUInt64LE(BigInt(length), 4);
    const metadata = new Map([['flags', { type: 'raw', typeId: 9, value: flags } as const]]);
    const bytes = encodeGguf({ metadata, tensors: [] });
    await writeFile(path, bytes);
    const before = process.memoryUsage().heapUsed;
    const file = await readGguf(path);
    const grown = process.memoryUsage().heapUsed - before;
    assert.equal((file.metadata.get('flags') as readonly GgufValue[]).length, length);
    assert.ok(grown < HEAP_PER_BYTE * bytes.length, `${grown} bytes for a file of ${bytes.length}`);
  });
});
