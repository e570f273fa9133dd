/**
 * The four kinds of protobuf fields that an ONNX file needs, as bytes. Writing only; messages are built inside out,
 * so a nested message is a bytes field like any other.
 * Source: the protobuf encoding guide (varint, fixed32 and length-delimited wire types).
 */

const varintType = 0;
const bytesType = 2;
const fixed32Type = 5;

/** A field that holds an integer; negatives as 64-bit two's complement. */
export function intField(field: number, value: number | bigint): Buffer {
  return Buffer.concat([tag(field, varintType), varint(BigInt(value))]);
}

/** A field that holds one 32-bit float. */
export function floatField(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([tag(field, fixed32Type), bytes]);
}

/** A field that holds bytes, a UTF-8 string or a nested message. */
export function bytesField(field: number, value: Uint8Array | string): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
  return Buffer.concat([tag(field, bytesType), varint(BigInt(bytes.length)), bytes]);
}

/** One message of all its fields, in order. */
export function message(...fields: readonly (Buffer | readonly Buffer[])[]): Buffer {
  return Buffer.concat(fields.flat());
}

function tag(field: number, wireType: number): Buffer {
  return varint(BigInt((field << 3) | wireType));
}

function varint(value: bigint): Buffer {
  let rest = BigInt.asUintN(64, value);
  const bytes: number[] = [];
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest > 0n ? low | 0x80 : low);
  } while (rest > 0n);
  return Buffer.from(bytes);
}
