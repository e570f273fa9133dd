/**
 * vocab.bin: the bytes that each id adds to the text, for the grammar at the tail. Little-endian: u32 ids, then a u16
 * length per id (0 for control tokens and padding: they are no text), then all bytes.
 */
import { ShardError } from './errors.ts';

/** The largest known vocabularies have 262,144 tokens. */
const idsMax = 1 << 20;
/** A token is a word or a run of spaces. */
const tokenBytesMax = 0xffff;

/** Throws RangeError for what does not fit the format. */
export function encodeTokenBytes(tokens: readonly Uint8Array[]): Uint8Array {
  if (tokens.length > idsMax) throw new RangeError(`${tokens.length} tokens, more than ${idsMax}`);
  const long = tokens.findIndex(({ length }) => length > tokenBytesMax);
  if (long >= 0) throw new RangeError(`token ${long} has more than ${tokenBytesMax} bytes`);
  const head = 4 + 2 * tokens.length;
  const file = new Uint8Array(tokens.reduce((sum, { length }) => sum + length, head));
  const view = new DataView(file.buffer);
  view.setUint32(0, tokens.length, true);
  let at = head;
  for (const [id, bytes] of tokens.entries()) {
    view.setUint16(4 + 2 * id, bytes.length, true);
    file.set(bytes, at);
    at += bytes.length;
  }
  return file;
}

/** Views into `file`, by id. Throws ShardError engine_failed for a file that is not one. */
export function decodeTokenBytes(file: Uint8Array): Uint8Array[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const count = file.length < 4 ? idsMax + 1 : view.getUint32(0, true);
  const head = 4 + 2 * count;
  if (count > idsMax || file.length < head) throw damaged();
  const tokens: Uint8Array[] = [];
  let at = head;
  for (let id = 0; id < count; id++) {
    const length = view.getUint16(4 + 2 * id, true);
    tokens.push(file.subarray(at, at + length));
    at += length;
  }
  if (at !== file.length) throw damaged();
  return tokens;
}

function damaged(): ShardError {
  return new ShardError('engine_failed', 'vocab.bin is damaged; remove the pack and pack the model again');
}
