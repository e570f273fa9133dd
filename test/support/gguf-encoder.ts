/**
 * Writes GGUF bytes, little-endian, from plain descriptions. It checks nothing: tests make lying files with it by overriding
 * what is announced. Layout: ggml's docs/gguf.md.
 */
import { blockFormats, type GgufTypeName } from '../../src/models/block-formats.ts';

/** A metadata value with its type in the file. */
export type EncodableValue =
  | { readonly type: 'u32' | 'i32' | 'f32' | 'u64' | 'f64'; readonly value: number | bigint }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'strings'; readonly value: readonly string[] }
  | { readonly type: 'i32s'; readonly value: readonly number[] }
  /** Type number and value bytes as they are. */
  | { readonly type: 'raw'; readonly typeId: number; readonly value: Uint8Array };

export interface EncodableTensor {
  readonly name: string;
  readonly type: GgufTypeName;
  /** Row-major: [rows, cols]. */
  readonly shape: readonly number[];
  readonly data: Uint8Array;
  /** What the entry announces instead of the truth. */
  readonly lie?: {
    readonly typeId?: number;
    /** Dims as in the file, fastest first. */
    readonly dims?: readonly (number | bigint)[];
    readonly offset?: number | bigint;
  };
}

export interface EncodableGguf {
  readonly version?: number;
  readonly alignment?: number;
  readonly metadata: ReadonlyMap<string, EncodableValue>;
  readonly tensors: readonly EncodableTensor[];
  /** Counts that are announced instead of the true ones. */
  readonly lie?: { readonly tensorCount?: number | bigint; readonly metadataCount?: number | bigint };
}

/** Value type numbers of the format. */
const typeIds = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9, u64: 10, f64: 12 } as const;

export function encodeGguf(gguf: EncodableGguf): Buffer {
  const alignment = gguf.alignment ?? 32;
  const header: Uint8Array[] = [
    Buffer.from('GGUF'),
    u32(gguf.version ?? 3),
    u64(gguf.lie?.tensorCount ?? gguf.tensors.length),
    u64(gguf.lie?.metadataCount ?? gguf.metadata.size),
  ];
  for (const [key, value] of gguf.metadata) header.push(string(key), encodeValue(value));
  const data: Uint8Array[] = [];
  let offset = 0;
  for (const tensor of gguf.tensors) {
    header.push(encodeTensorEntry(tensor, offset));
    const padded = padding(tensor.data.length, alignment);
    data.push(tensor.data, padded);
    offset += tensor.data.length + padded.length;
  }
  const headerBytes = Buffer.concat(header);
  return Buffer.concat([headerBytes, padding(headerBytes.length, alignment), ...data]);
}

function encodeTensorEntry(tensor: EncodableTensor, offset: number): Buffer {
  const dims = tensor.lie?.dims ?? tensor.shape.toReversed();
  return Buffer.concat([
    string(tensor.name),
    u32(dims.length),
    ...dims.map(u64),
    u32(tensor.lie?.typeId ?? blockFormats[tensor.type].id),
    u64(tensor.lie?.offset ?? offset),
  ]);
}

function encodeValue(value: EncodableValue): Buffer {
  switch (value.type) {
    case 'u32':
      return Buffer.concat([u32(typeIds.u32), u32(Number(value.value))]);
    case 'i32':
      return Buffer.concat([u32(typeIds.i32), i32(Number(value.value))]);
    case 'u64':
      return Buffer.concat([u32(typeIds.u64), u64(value.value)]);
    case 'f32': {
      const bytes = Buffer.alloc(4);
      bytes.writeFloatLE(Number(value.value));
      return Buffer.concat([u32(typeIds.f32), bytes]);
    }
    case 'f64': {
      const bytes = Buffer.alloc(8);
      bytes.writeDoubleLE(Number(value.value));
      return Buffer.concat([u32(typeIds.f64), bytes]);
    }
    case 'bool':
      return Buffer.concat([u32(typeIds.bool), Buffer.from([value.value ? 1 : 0])]);
    case 'string':
      return Buffer.concat([u32(typeIds.string), string(value.value)]);
    case 'strings':
      return Buffer.concat([array(typeIds.string, value.value.length), ...value.value.map(string)]);
    case 'i32s':
      return Buffer.concat([array(typeIds.i32, value.value.length), ...value.value.map(i32)]);
    case 'raw':
      return Buffer.concat([u32(value.typeId), value.value]);
  }
}

function array(elementType: number, length: number): Buffer {
  return Buffer.concat([u32(typeIds.array), u32(elementType), u64(length)]);
}

/** A string as GGUF stores it: 64-bit byte length, then UTF-8. */
export function string(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(bytes.length), bytes]);
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

export function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function i32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}

function padding(length: number, alignment: number): Buffer {
  return Buffer.alloc(Math.ceil(length / alignment) * alignment - length);
}
