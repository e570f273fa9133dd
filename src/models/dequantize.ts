/**
 * Stored tensor bytes → float32, for every type that can be read. Results are bit-equal to the gguf Python package:
 * each weight is one exact product and at most one sum, rounded once to float32 when it is stored.
 */
import { blockFormats, type GgufTypeName, typeBytes } from './block-formats.ts';
import { halves, newUnpackedBlock, type Unpacker, unpackers } from './block-unpackers.ts';
import { ModelFileError } from './model-file-error.ts';

/** bytes of `elements` elements (whole blocks) → float32 [elements]. Throws ModelFileError (corrupt) on a wrong length. */
export function dequantize(type: GgufTypeName, bytes: Uint8Array, elements: number): Float32Array {
  if (bytes.length !== typeBytes(type, elements)) {
    const expected = `${elements} elements of ${type} take ${typeBytes(type, elements)} bytes`;
    throw new ModelFileError('corrupt', `${expected}, ${bytes.length} were given`);
  }
  if (type === 'F32') return new Float32Array(aligned(bytes).buffer);
  if (type === 'F16')
    return Float32Array.from(new Uint16Array(aligned(bytes).buffer), (bits) => halves[bits]);
  if (type === 'BF16') return widenBfloats(new Uint16Array(aligned(bytes).buffer));
  return dequantizeBlocks(unpackers[type], blockFormats[type], bytes, elements);
}

/** A copy that starts at an offset which wider views accept. */
function aligned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(bytes.length);
  copy.set(bytes);
  return copy;
}

/** A bfloat16 is the upper half of a float32. */
function widenBfloats(bits: Uint16Array): Float32Array {
  const wide = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) wide[i] = bits[i] << 16;
  return new Float32Array(wide.buffer);
}

function dequantizeBlocks(
  { unpack, group, zero }: Unpacker,
  format: { elements: number; bytes: number },
  bytes: Uint8Array,
  elements: number,
): Float32Array {
  const weights = new Float32Array(elements);
  const block = newUnpackedBlock();
  const { codes, scales, minimums } = block;
  const groupShift = Math.log2(group);
  for (let start = 0, at = 0; start < elements; start += format.elements, at += format.bytes) {
    unpack(bytes, at, block);
    if (zero === null) {
      for (let i = 0; i < format.elements; i++) {
        weights[start + i] = codes[i] * scales[i >> groupShift] + minimums[i >> groupShift];
      }
    } else {
      for (let i = 0; i < format.elements; i++)
        weights[start + i] = (codes[i] - zero) * scales[i >> groupShift];
    }
  }
  return weights;
}
