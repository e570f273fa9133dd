/**
 * Random tensor data in any type that can be read: codes are uniform random bytes, scales and minimums are set so that the
 * weights have mean 0 and the wanted standard deviation (within some 20 % a block, as real files vary).
 */
import { blockFormats, type GgufTypeName } from '../../src/models/block-formats.ts';

/** Uniform in [0, 1). */
export type Random = () => number;

/** Standard deviation of uniform codes of so many bits. */
const codeStd = { 4: 4.61, 5: 9.23, 6: 18.47, 8: 73.9 } as const;
/** Root mean square of uniform 6-bit group scales. */
const SIX_BIT_RMS = 36.7;

/** The same numbers for the same seed, everywhere (mulberry32). */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Stored bytes of one row of `cols` elements. */
export function randomRow(type: GgufTypeName, cols: number, std: number, random: Random): Buffer {
  const { elements, bytes } = blockFormats[type];
  const row = Buffer.alloc((cols / elements) * bytes);
  for (let at = 0; at < row.length; at += bytes) {
    writeRandomBlock(type, row.subarray(at, at + bytes), std * (0.8 + 0.4 * random()), random);
  }
  return row;
}

function writeRandomBlock(type: GgufTypeName, block: Buffer, std: number, random: Random): void {
  for (let i = 0; i < block.length; i++) block[i] = Math.floor(random() * 256);
  switch (type) {
    case 'F32':
      block.writeFloatLE(std * gaussian(random));
      return;
    case 'F16':
      writeHalf(block, 0, std * gaussian(random));
      return;
    case 'BF16': {
      const wide = Buffer.alloc(4);
      wide.writeFloatLE(std * gaussian(random));
      wide.copy(block, 0, 2);
      return;
    }
    case 'Q4_0':
      writeHalf(block, 0, std / codeStd[4]);
      return;
    case 'Q4_1':
      writeHalf(block, 0, std / codeStd[4]);
      writeHalf(block, 2, (std / codeStd[4]) * -7.5);
      return;
    case 'Q5_0':
      writeHalf(block, 0, std / codeStd[5]);
      return;
    case 'Q5_1':
      writeHalf(block, 0, std / codeStd[5]);
      writeHalf(block, 2, (std / codeStd[5]) * -15.5);
      return;
    case 'Q8_0':
      writeHalf(block, 0, std / codeStd[8]);
      return;
    case 'Q4_K':
      writeGroupScales(block, std / codeStd[4] / SIX_BIT_RMS, 7.5);
      return;
    case 'Q5_K':
      writeGroupScales(block, std / codeStd[5] / SIX_BIT_RMS, 15.5);
      return;
    case 'Q6_K':
      writeHalf(block, 208, std / codeStd[6] / codeStd[8]);
      return;
  }
}

/** Each group's 6-bit minimum is made equal to its scale, so that weights are centred when dmin = d * middle code. */
function writeGroupScales(block: Buffer, scale: number, middle: number): void {
  writeHalf(block, 0, scale);
  writeHalf(block, 2, scale * middle);
  for (let i = 0; i < 4; i++) {
    block[8 + i] = block[4 + i];
    block[12 + i] = (block[12 + i] & 15) * 17;
  }
}

function writeHalf(bytes: Buffer, at: number, value: number): void {
  bytes.writeUInt16LE(new Uint16Array(Float16Array.of(value).buffer)[0], at);
}

function gaussian(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
