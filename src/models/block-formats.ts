/**
 * How GGUF stores tensor data: per type its number in the file and the size of its blocks. A row is a whole number
 * of blocks. Source: ggml's type table (ggml.h, enum ggml_type; block structs in ggml-common.h).
 */

interface BlockFormat {
  /** Number of the type in a tensor entry. */
  readonly id: number;
  /** Elements in a block. */
  readonly elements: number;
  /** Bytes of a block. */
  readonly bytes: number;
}

/** The types that can be read, by name. */
export const blockFormats = {
  F32: { id: 0, elements: 1, bytes: 4 },
  F16: { id: 1, elements: 1, bytes: 2 },
  BF16: { id: 30, elements: 1, bytes: 2 },
  Q4_0: { id: 2, elements: 32, bytes: 18 },
  Q4_1: { id: 3, elements: 32, bytes: 20 },
  Q5_0: { id: 6, elements: 32, bytes: 22 },
  Q5_1: { id: 7, elements: 32, bytes: 24 },
  Q8_0: { id: 8, elements: 32, bytes: 34 },
  Q4_K: { id: 12, elements: 256, bytes: 144 },
  Q5_K: { id: 13, elements: 256, bytes: 176 },
  Q6_K: { id: 14, elements: 256, bytes: 210 },
} as const satisfies Record<string, BlockFormat>;

export type GgufTypeName = keyof typeof blockFormats;

/** Types that ggml knows and this project does not read: for messages only. */
const otherTypes: Readonly<Record<number, string>> = {
  9: 'Q8_1',
  10: 'Q2_K',
  11: 'Q3_K',
  15: 'Q8_K',
  16: 'IQ2_XXS',
  17: 'IQ2_XS',
  18: 'IQ3_XXS',
  19: 'IQ1_S',
  20: 'IQ4_NL',
  21: 'IQ3_S',
  22: 'IQ2_S',
  23: 'IQ4_XS',
  24: 'I8',
  25: 'I16',
  26: 'I32',
  27: 'I64',
  28: 'F64',
  29: 'IQ1_M',
  34: 'TQ1_0',
  35: 'TQ2_0',
  39: 'MXFP4',
};

const typeNames = Object.keys(blockFormats) as GgufTypeName[];
const namesById = new Map<number, GgufTypeName>(typeNames.map((name) => [blockFormats[name].id, name]));

/** The name of a type number, or null when it cannot be read. */
export function typeName(id: number): GgufTypeName | null {
  return namesById.get(id) ?? null;
}

/** A type number in words, for messages about types that cannot be read. */
export function describeType(id: number): string {
  const name = namesById.get(id) ?? otherTypes[id];
  return name === undefined ? `type number ${id}` : `type ${name} (${id})`;
}

/** The types that can be read, in words. */
export function readableTypes(): string {
  return typeNames.join(', ');
}

/** Bytes of `elements` elements; elements must be a whole number of blocks. */
export function typeBytes(type: GgufTypeName, elements: number): number {
  const { elements: perBlock, bytes } = blockFormats[type];
  return (elements / perBlock) * bytes;
}
