/**
 * Reads GGUF files (versions 2 and 3, little-endian): the header with its tensor table, then single tensors on demand.
 * A file is untrusted input: every count, length and offset is checked against a named limit and the real file size
 * before anything is sized by it, and tensors that overlap or leave the file are refused. Source: ggml's docs/gguf.md.
 */
import { type FileHandle, open, stat } from 'node:fs/promises';
import {
  blockFormats,
  describeType,
  type GgufTypeName,
  readableTypes,
  typeBytes,
  typeName,
} from './block-formats.ts';
import { type GgufValue, readMetadata, readMetadataCount } from './gguf-metadata.ts';
import { HeaderCursor } from './header-cursor.ts';
import { ModelFileError } from './model-file-error.ts';

export interface GgufTensor {
  readonly name: string;
  readonly type: GgufTypeName;
  /** Row-major, slowest first: [rows, cols]; the file has them the other way round. */
  readonly shape: readonly number[];
  /** Absolute byte offset in the file. */
  readonly offset: number;
  readonly bytes: number;
}

export interface GgufFile {
  readonly path: string;
  readonly version: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
  readonly sizeBytes: number;
}

/** The largest dense models have about 2,000 tensors; experts multiply that. */
const MAX_TENSORS = 65_536;
/** ggml's GGML_MAX_NAME. */
const MAX_TENSOR_NAME_BYTES = 64;
/** ggml's GGML_MAX_DIMS. */
const MAX_TENSOR_DIMS = 4;
/** Larger than any weight matrix (256k rows x 16k columns), small enough that products of offsets stay exact. */
const MAX_TENSOR_ELEMENTS = 2 ** 32;
/** Real files have 32 or 64, paged ones 4,096. */
const MAX_ALIGNMENT = 1 << 20;
const DEFAULT_ALIGNMENT = 32;
/** Name (8 + 1 bytes), number of dims (4), one dim (8), type (4), offset (8). */
const MIN_TENSOR_ENTRY_BYTES = 33;
/** One read call: below the 2 GiB that the system takes at once. */
const READ_BYTES = 1 << 30;

/** A tensor as its entry in the file says, offset from the start of the data section. */
interface TensorEntry extends Omit<GgufTensor, 'offset'> {
  readonly relativeOffset: number;
}

/** Reads and checks the header. Throws ModelFileError. */
export async function readGguf(path: string): Promise<GgufFile> {
  const { file, sizeBytes } = await openFile(path);
  try {
    const cursor = new HeaderCursor(file, path, sizeBytes);
    const version = await readVersion(cursor);
    const tensorCount = await cursor.count('tensor count', MAX_TENSORS, MIN_TENSOR_ENTRY_BYTES);
    const metadata = await readMetadata(cursor, await readMetadataCount(cursor));
    const alignment = readAlignment(cursor, metadata);
    const entries = await readTensorEntries(cursor, tensorCount, alignment);
    return { path, version, metadata, tensors: placeTensors(cursor, entries, alignment), sizeBytes };
  } finally {
    await file.close();
  }
}

/** The stored bytes of one tensor. Throws ModelFileError: missing (no such tensor), truncated (the file changed). */
export async function readTensorBytes(gguf: GgufFile, name: string): Promise<Uint8Array> {
  const tensor = gguf.tensors.get(name);
  if (tensor === undefined) throw new ModelFileError('missing', `${gguf.path}: there is no tensor ${name}`);
  const { file, sizeBytes } = await openFile(gguf.path);
  try {
    if (sizeBytes !== gguf.sizeBytes) {
      const change = `from ${gguf.sizeBytes} to ${sizeBytes} bytes`;
      throw new ModelFileError('corrupt', `${gguf.path}: the file changed ${change} since it was opened`);
    }
    const bytes = new Uint8Array(tensor.bytes);
    for (let done = 0; done < bytes.length; ) {
      const length = Math.min(bytes.length - done, READ_BYTES);
      const { bytesRead } = await file.read(bytes, done, length, tensor.offset + done);
      if (bytesRead === 0)
        throw new ModelFileError('truncated', `${gguf.path}: ${name}: the file became shorter`);
      done += bytesRead;
    }
    return bytes;
  } finally {
    await file.close();
  }
}

async function openFile(path: string): Promise<{ file: FileHandle; sizeBytes: number }> {
  try {
    // Asked before opening: to open a pipe would wait for its writer.
    const stats = await stat(path);
    if (stats.isFile()) return { file: await open(path, 'r'), sizeBytes: stats.size };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ModelFileError('missing', `${path}: the model file cannot be opened: ${reason}`, { cause });
  }
  throw new ModelFileError('missing', `${path}: this is not a file; give the path of a .gguf file`);
}

async function readVersion(cursor: HeaderCursor): Promise<number> {
  if (cursor.sizeBytes < 8) throw cursor.error('not_gguf', 'magic', 'the file is too short to be GGUF');
  if (!cursor.holds(4)) await cursor.fill(4, 'magic');
  const magic = cursor.take(4).toString('latin1');
  if (magic !== 'GGUF') {
    const found = JSON.stringify(magic);
    throw cursor.error('not_gguf', 'magic', `expected "GGUF", found ${found}; give the path of a .gguf file`);
  }
  const version = await cursor.u32('version');
  if (version === 2 || version === 3) return version;
  if ((version & 0xffff) === 0) {
    throw cursor.error('not_gguf', 'version', 'the file is big-endian; convert it to little-endian');
  }
  throw cursor.error('not_gguf', 'version', `version ${version} is not supported; versions 2 and 3 are`);
}

function readAlignment(cursor: HeaderCursor, metadata: ReadonlyMap<string, GgufValue>): number {
  const value = metadata.get('general.alignment') ?? DEFAULT_ALIGNMENT;
  const isPowerOfTwo = typeof value === 'number' && Number.isInteger(Math.log2(value));
  if (isPowerOfTwo && value >= 1 && value <= MAX_ALIGNMENT) return value;
  const wanted = `a power of two up to ${MAX_ALIGNMENT}`;
  throw cursor.error('corrupt', 'general.alignment', `expected ${wanted}, found ${describe(value)}`);
}

async function readTensorEntries(
  cursor: HeaderCursor,
  count: number,
  alignment: number,
): Promise<TensorEntry[]> {
  const entries: TensorEntry[] = [];
  for (let i = 0; i < count; i++) {
    const name = await cursor.string(`name of tensor ${i}`, MAX_TENSOR_NAME_BYTES);
    if (name === '') throw cursor.error('corrupt', `name of tensor ${i}`, 'the name is empty');
    const shape = await readShape(cursor, name);
    const typeId = await cursor.u32(name);
    const type = typeName(typeId);
    if (type === null) {
      const readable = `readable are ${readableTypes()}`;
      throw cursor.error('unsupported', name, `${describeType(typeId)} cannot be read; ${readable}`);
    }
    const cols = shape[shape.length - 1];
    const block = blockFormats[type].elements;
    if (cols % block !== 0) {
      throw cursor.error(
        'corrupt',
        name,
        `rows of ${cols} elements are not whole ${type} blocks of ${block}`,
      );
    }
    const relativeOffset = await readOffset(cursor, name, alignment);
    const elements = shape.reduce((product, dim) => product * dim, 1);
    entries.push({ name, type, shape, bytes: typeBytes(type, elements), relativeOffset });
  }
  return entries;
}

/** Dimensions of a tensor, slowest first; their product is within MAX_TENSOR_ELEMENTS. */
async function readShape(cursor: HeaderCursor, name: string): Promise<number[]> {
  const dims = await cursor.u32(name);
  if (dims < 1 || dims > MAX_TENSOR_DIMS) {
    throw cursor.error(
      dims === 0 ? 'corrupt' : 'limit',
      name,
      `${dims} dimensions; 1 to ${MAX_TENSOR_DIMS} are possible`,
    );
  }
  const shape: number[] = [];
  let elements = 1n;
  for (let i = 0; i < dims; i++) {
    const dim = await cursor.u64(name);
    if (dim === 0n) throw cursor.error('corrupt', name, `dimension ${i} is 0`);
    elements *= dim;
    if (elements > MAX_TENSOR_ELEMENTS) {
      throw cursor.error('limit', name, `${elements} elements or more; the limit is ${MAX_TENSOR_ELEMENTS}`);
    }
    shape.unshift(Number(dim));
  }
  return shape;
}

async function readOffset(cursor: HeaderCursor, name: string, alignment: number): Promise<number> {
  const offset = await cursor.u64(name);
  if (offset > BigInt(cursor.sizeBytes)) {
    throw cursor.error(
      'truncated',
      name,
      `offset ${offset} is beyond the ${cursor.sizeBytes} bytes of the file`,
    );
  }
  if (Number(offset) % alignment !== 0) {
    throw cursor.error('corrupt', name, `offset ${offset} is not a multiple of the alignment ${alignment}`);
  }
  return Number(offset);
}

/** Makes offsets absolute; refuses tensors that leave the file, share bytes or share a name. */
function placeTensors(
  cursor: HeaderCursor,
  entries: readonly TensorEntry[],
  alignment: number,
): Map<string, GgufTensor> {
  const dataStart = Math.ceil(cursor.offset / alignment) * alignment;
  const tensors = new Map<string, GgufTensor>();
  for (const { relativeOffset, ...entry } of entries) {
    const tensor = { ...entry, offset: dataStart + relativeOffset };
    if (tensors.has(tensor.name)) throw cursor.error('corrupt', tensor.name, 'this tensor name occurs twice');
    const end = tensor.offset + tensor.bytes;
    if (end > cursor.sizeBytes) {
      const missing = `it ends at byte ${end}, the file at ${cursor.sizeBytes}; fetch the file again`;
      throw new ModelFileError('truncated', `${cursor.path}: ${tensor.name}: ${missing}`);
    }
    tensors.set(tensor.name, tensor);
  }
  refuseOverlaps(cursor.path, [...tensors.values()]);
  return tensors;
}

function refuseOverlaps(path: string, tensors: GgufTensor[]): void {
  tensors.sort((a, b) => a.offset - b.offset);
  for (let i = 1; i < tensors.length; i++) {
    const before = tensors[i - 1];
    if (before.offset + before.bytes > tensors[i].offset) {
      const both = `${before.name} and ${tensors[i].name}`;
      throw new ModelFileError('corrupt', `${path}: tensors ${both} overlap at byte ${tensors[i].offset}`);
    }
  }
}

function describe(value: GgufValue): string {
  return Array.isArray(value) ? `an array of ${value.length}` : String(value).slice(0, 80);
}
