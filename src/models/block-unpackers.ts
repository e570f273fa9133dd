/**
 * Takes quantised GGUF blocks apart into codes, scales and minimums, one small function per type. In all of them
 * w = (code - zero) * scale, or code * scale + minimum. Scales are products of a half and an integer below 2^8, so they
 * are exact in float32. Source: ggml's dequantize_row_* (ggml-quants.c); compared bitwise with the gguf package in tests.
 */
import type { GgufTypeName } from './block-formats.ts';

export type QuantisedTypeName = Exclude<GgufTypeName, 'F32' | 'F16' | 'BF16'>;

/** Has the type codes and scales, as opposed to plain floats? */
export function isQuantised(type: GgufTypeName): type is QuantisedTypeName {
  return type in unpackers;
}

/** One block apart. Arrays are reused from block to block. */
export interface UnpackedBlock {
  /** [elements], unsigned. */
  readonly codes: Uint8Array;
  /** [elements / group] */
  readonly scales: Float32Array;
  /** [elements / group]; left alone by types with a zero. */
  readonly minimums: Float32Array;
}

export interface Unpacker {
  /** Bits that a code needs. */
  readonly bits: 4 | 5 | 6 | 8;
  /** Elements that share a scale. */
  readonly group: 16 | 32;
  /** Code of the weight 0, or null when the type has minimums instead. */
  readonly zero: number | null;
  /** Unpacks the block that starts at bytes[at]. */
  readonly unpack: (bytes: Uint8Array, at: number, block: UnpackedBlock) => void;
}

export const unpackers: Readonly<Record<QuantisedTypeName, Unpacker>> = {
  Q4_0: {
    bits: 4,
    group: 32,
    zero: 8,
    unpack(bytes, at, { codes, scales }) {
      scales[0] = half(bytes, at);
      unpackNibbles(bytes, at + 2, codes);
    },
  },
  Q4_1: {
    bits: 4,
    group: 32,
    zero: null,
    unpack(bytes, at, { codes, scales, minimums }) {
      scales[0] = half(bytes, at);
      minimums[0] = half(bytes, at + 2);
      unpackNibbles(bytes, at + 4, codes);
    },
  },
  Q5_0: {
    bits: 5,
    group: 32,
    zero: 16,
    unpack(bytes, at, { codes, scales }) {
      scales[0] = half(bytes, at);
      unpackNibbles(bytes, at + 6, codes);
      addFifthBits(bytes, at + 2, codes);
    },
  },
  Q5_1: {
    bits: 5,
    group: 32,
    zero: null,
    unpack(bytes, at, { codes, scales, minimums }) {
      scales[0] = half(bytes, at);
      minimums[0] = half(bytes, at + 2);
      unpackNibbles(bytes, at + 8, codes);
      addFifthBits(bytes, at + 4, codes);
    },
  },
  Q8_0: {
    bits: 8,
    group: 32,
    zero: 128,
    unpack(bytes, at, { codes, scales }) {
      scales[0] = half(bytes, at);
      // Two's complement to offset 128: the top bit flips.
      for (let i = 0; i < 32; i++) codes[i] = bytes[at + 2 + i] ^ 0x80;
    },
  },
  Q4_K: {
    bits: 4,
    group: 32,
    zero: null,
    unpack(bytes, at, block) {
      unpackSixBitScales(bytes, at, block);
      unpackNibbleRuns(bytes, at + 16, block.codes);
    },
  },
  Q5_K: {
    bits: 5,
    group: 32,
    zero: null,
    unpack(bytes, at, block) {
      unpackSixBitScales(bytes, at, block);
      unpackNibbleRuns(bytes, at + 48, block.codes);
      // Byte i of the 32 holds the fifth bits of element i of all eight groups.
      for (let i = 0; i < 256; i++) block.codes[i] |= ((bytes[at + 16 + (i & 31)] >> (i >> 5)) & 1) << 4;
    },
  },
  Q6_K: {
    bits: 6,
    group: 16,
    zero: 32,
    unpack(bytes, at, { codes, scales }) {
      const scale = half(bytes, at + 208);
      for (let group = 0; group < 16; group++) scales[group] = scale * signed(bytes[at + 192 + group]);
      // Each half of the block: 64 bytes of low nibbles, 32 bytes of high bit pairs, for 4 runs of 32 elements.
      for (let part = 0; part < 2; part++) {
        const low = at + part * 64;
        const high = at + 128 + part * 32;
        for (let i = 0; i < 32; i++) {
          const pairs = bytes[high + i];
          const to = part * 128 + i;
          codes[to] = (bytes[low + i] & 15) | ((pairs & 3) << 4);
          codes[to + 32] = (bytes[low + 32 + i] & 15) | (((pairs >> 2) & 3) << 4);
          codes[to + 64] = (bytes[low + i] >> 4) | (((pairs >> 4) & 3) << 4);
          codes[to + 96] = (bytes[low + 32 + i] >> 4) | ((pairs >> 6) << 4);
        }
      }
    },
  },
};

/** Room for one block of any type. */
export function newUnpackedBlock(): UnpackedBlock {
  return { codes: new Uint8Array(256), scales: new Float32Array(16), minimums: new Float32Array(16) };
}

/** All 65,536 halves as float32, by their bits. */
export const halves = Float32Array.from(
  new Float16Array(Uint16Array.from({ length: 65_536 }, (_, i) => i).buffer),
);

function half(bytes: Uint8Array, at: number): number {
  return halves[bytes[at] | (bytes[at + 1] << 8)];
}

function signed(byte: number): number {
  return (byte << 24) >> 24;
}

/** 16 bytes → 32 codes: the low nibbles are elements 0…15, the high ones 16…31. */
function unpackNibbles(bytes: Uint8Array, at: number, codes: Uint8Array): void {
  for (let i = 0; i < 16; i++) {
    codes[i] = bytes[at + i] & 15;
    codes[i + 16] = bytes[at + i] >> 4;
  }
}

/** 128 bytes → 256 codes: each run of 32 bytes has 32 low nibbles, then 32 high ones. */
function unpackNibbleRuns(bytes: Uint8Array, at: number, codes: Uint8Array): void {
  for (let i = 0; i < 128; i++) {
    const to = ((i & ~31) << 1) | (i & 31);
    codes[to] = bytes[at + i] & 15;
    codes[to + 32] = bytes[at + i] >> 4;
  }
}

/** A little-endian word with one more bit for each of 32 codes. */
function addFifthBits(bytes: Uint8Array, at: number, codes: Uint8Array): void {
  for (let i = 0; i < 32; i++) codes[i] |= ((bytes[at + (i >> 3)] >> (i & 7)) & 1) << 4;
}

/** Two halves, then 6-bit scales and minimums of 8 groups in 12 bytes: the last four groups' top bits sit in the first eight bytes. */
function unpackSixBitScales(bytes: Uint8Array, at: number, { scales, minimums }: UnpackedBlock): void {
  const scale = half(bytes, at);
  const minimum = half(bytes, at + 2);
  for (let i = 0; i < 4; i++) {
    const s = bytes[at + 4 + i];
    const m = bytes[at + 8 + i];
    const both = bytes[at + 12 + i];
    scales[i] = scale * (s & 63);
    minimums[i] = -(minimum * (m & 63));
    scales[i + 4] = scale * ((both & 15) | ((s >> 6) << 4));
    minimums[i + 4] = -(minimum * ((both >> 4) | ((m >> 6) << 4)));
  }
}
