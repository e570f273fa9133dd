/**
 * The key/value section of a GGUF header. Types and layout: ggml's docs/gguf.md. Every count has a limit; values come
 * out as plain JavaScript values, 64-bit integers as number where that is exact and as bigint beyond.
 */
import type { HeaderCursor } from './header-cursor.ts';

export type GgufValue = number | bigint | boolean | string | readonly GgufValue[];

/** Models carry 20-60 keys; merged ones a few hundred. */
const MAX_METADATA_ENTRIES = 4096;
/** Limit of the format. */
const MAX_KEY_BYTES = 65_535;
/** The largest vocabularies have 262,144 tokens and about twice as many merges. */
const MAX_ARRAY_LENGTH = 1 << 21;
/** All array elements of a file together: bounds memory by a few hundred MB whatever the header says. */
const MAX_ARRAY_ELEMENTS = 1 << 22;
/** Arrays of arrays are in the format, but no known key has them deeper than this. */
const MAX_ARRAY_DEPTH = 3;
/** A key (8 bytes of length, 1 of text), its type (4) and a value (1). */
const MIN_ENTRY_BYTES = 14;

interface Scalar {
  readonly bytes: number;
  readonly read: (bytes: Buffer) => GgufValue | null;
}

/** Fixed-size value types by number; null stands for bytes that are no value of the type. */
const scalars: Readonly<Record<number, Scalar>> = {
  0: { bytes: 1, read: (b) => b.readUInt8() },
  1: { bytes: 1, read: (b) => b.readInt8() },
  2: { bytes: 2, read: (b) => b.readUInt16LE() },
  3: { bytes: 2, read: (b) => b.readInt16LE() },
  4: { bytes: 4, read: (b) => b.readUInt32LE() },
  5: { bytes: 4, read: (b) => b.readInt32LE() },
  6: { bytes: 4, read: (b) => b.readFloatLE() },
  7: { bytes: 1, read: (b) => (b[0] > 1 ? null : b[0] === 1) },
  10: { bytes: 8, read: (b) => exactNumber(b.readBigUInt64LE()) },
  11: { bytes: 8, read: (b) => exactNumber(b.readBigInt64LE()) },
  12: { bytes: 8, read: (b) => b.readDoubleLE() },
};
const STRING = 8;
const ARRAY = 9;

/** Elements that arrays may still have, over the whole file. */
interface ElementBudget {
  left: number;
}

/** Reads the key/value section. Throws ModelFileError. */
export async function readMetadata(cursor: HeaderCursor, entries: number): Promise<Map<string, GgufValue>> {
  const metadata = new Map<string, GgufValue>();
  const budget: ElementBudget = { left: MAX_ARRAY_ELEMENTS };
  for (let i = 0; i < entries; i++) {
    const key = await cursor.string(`metadata key ${i}`, MAX_KEY_BYTES);
    if (metadata.has(key)) throw cursor.error('corrupt', key, 'this metadata key occurs twice');
    metadata.set(key, await readValue(cursor, key, await cursor.u32(key), 0, budget));
  }
  return metadata;
}

/** Reads the number of entries that follow. */
export function readMetadataCount(cursor: HeaderCursor): Promise<number> {
  return cursor.count('metadata count', MAX_METADATA_ENTRIES, MIN_ENTRY_BYTES);
}

async function readValue(
  cursor: HeaderCursor,
  key: string,
  type: number,
  depth: number,
  budget: ElementBudget,
): Promise<GgufValue> {
  if (type === STRING) return cursor.string(key);
  if (type === ARRAY) return readArray(cursor, key, depth + 1, budget);
  const scalar = scalars[type];
  if (scalar === undefined) throw cursor.error('corrupt', key, `unknown value type ${type}`);
  if (!cursor.holds(scalar.bytes)) await cursor.fill(scalar.bytes, key);
  return readScalar(cursor, key, scalar);
}

async function readArray(
  cursor: HeaderCursor,
  key: string,
  depth: number,
  budget: ElementBudget,
): Promise<GgufValue[]> {
  if (depth > MAX_ARRAY_DEPTH) {
    throw cursor.error('limit', key, `arrays are nested deeper than ${MAX_ARRAY_DEPTH}`);
  }
  const type = await cursor.u32(key);
  const scalar = scalars[type];
  if (scalar === undefined && type !== STRING && type !== ARRAY) {
    throw cursor.error('corrupt', key, `unknown value type ${type} of array elements`);
  }
  const length = await cursor.count(key, Math.min(MAX_ARRAY_LENGTH, budget.left), minBytes(type));
  budget.left -= length;
  const values: GgufValue[] = [];
  for (let i = 0; i < length; i++) {
    if (scalar !== undefined) {
      if (!cursor.holds(scalar.bytes)) await cursor.fill(scalar.bytes, key);
      values.push(readScalar(cursor, key, scalar));
    } else {
      values.push(
        type === STRING ? await cursor.string(key) : await readArray(cursor, key, depth + 1, budget),
      );
    }
  }
  return values;
}

function readScalar(cursor: HeaderCursor, key: string, scalar: Scalar): GgufValue {
  const value = scalar.read(cursor.take(scalar.bytes));
  if (value === null) throw cursor.error('corrupt', key, 'a boolean is neither 0 nor 1');
  return value;
}

/** The fewest bytes that one array element takes in the file: a string has 8 of length, an array 12 of type and length. */
function minBytes(type: number): number {
  if (type === STRING) return 8;
  return type === ARRAY ? 12 : scalars[type].bytes;
}

function exactNumber(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
