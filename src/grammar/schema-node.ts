/**
 * What one JSON Schema (2020-12, and the older spellings that generators still write) asks for, keyword by keyword.
 * Nothing is passed over in silence: keywords that a grammar cannot honour are refused, annotations are named here, and
 * unknown names are annotations by the standard's own rule.
 */
import { pointerTo, SchemaError } from './schema-error.ts';

export type SchemaObject = Readonly<Record<string, unknown>>;

export const jsonTypes = ['object', 'array', 'string', 'integer', 'number', 'boolean', 'null'] as const;
export type JsonType = (typeof jsonTypes)[number];

/** Keyword → the value with which it asks for nothing. `then` and `else` say nothing without `if`. */
const refusedUnless: Readonly<Record<string, (value: unknown) => boolean>> = {
  not: () => false,
  if: () => false,
  contains: () => false,
  uniqueItems: (value) => value === false,
  multipleOf: (value) => value === 1,
  dependencies: isEmpty,
  dependentRequired: isEmpty,
  dependentSchemas: isEmpty,
  $dynamicRef: () => false,
  $recursiveRef: () => false,
};

/** Which types a keyword speaks about; it also tells the type where `type` is left out. */
const keywordsOf: Readonly<Record<'object' | 'array' | 'string' | 'number', readonly string[]>> = {
  object: [
    'properties',
    'required',
    'additionalProperties',
    'patternProperties',
    'propertyNames',
    'minProperties',
    'maxProperties',
  ],
  array: ['items', 'prefixItems', 'additionalItems', 'minItems', 'maxItems'],
  string: ['pattern', 'minLength', 'maxLength', 'format'],
  number: ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'],
};

const constraints = [
  ...Object.values(keywordsOf).flat(),
  ...['$ref', 'enum', 'const', 'anyOf', 'oneOf', 'allOf', 'type'],
];

/** Throws SchemaError for what is no schema, or asks for what cannot be served. */
export function asSchema(value: unknown, pointer: string): SchemaObject | boolean {
  if (typeof value === 'boolean') return value;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new SchemaError(pointer, 'a schema is an object or a boolean');
  }
  for (const [keyword, asksNothing] of Object.entries(refusedUnless)) {
    const setting = (value as SchemaObject)[keyword];
    if (setting !== undefined && !asksNothing(setting)) {
      throw new SchemaError(pointerTo(pointer, keyword), `"${keyword}" is not supported`);
    }
  }
  return value as SchemaObject;
}

/** Constraints of a schema besides `keyword` and those named. */
export function constraintsBeside(schema: SchemaObject, ...keywords: readonly string[]): string[] {
  return constraints.filter((name) => name in schema && !keywords.includes(name));
}

/** Types that a schema allows, in its own order; null for all. Throws SchemaError. */
export function typesOf(schema: SchemaObject, pointer: string): readonly JsonType[] | null {
  const { type } = schema;
  if (type === undefined) {
    const named = (['object', 'array', 'string', 'number'] as const).find((kind) =>
      keywordsOf[kind].some((keyword) => keyword in schema),
    );
    return named === undefined ? null : [named];
  }
  const types = Array.isArray(type) ? type : [type];
  const stranger = types.find((name) => !jsonTypes.includes(name as JsonType));
  if (stranger !== undefined || types.length === 0) {
    throw new SchemaError(pointerTo(pointer, 'type'), `a type is one of ${jsonTypes.join(', ')}`);
  }
  return types as JsonType[];
}

/** Is a value of one of the types? */
export function hasType(value: unknown, types: readonly JsonType[]): boolean {
  return types.some((type) => {
    if (type === 'null') return value === null;
    if (type === 'array') return Array.isArray(value);
    if (type === 'object') return typeof value === 'object' && value !== null && !Array.isArray(value);
    if (type === 'integer') return Number.isInteger(value);
    return typeof value === type;
  });
}

/** A count or a bound; `absent` if it is not there. Throws SchemaError. */
export function numberOf(schema: SchemaObject, keyword: string, pointer: string, absent: number): number {
  const value = schema[keyword];
  if (value === undefined) return absent;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw new SchemaError(pointerTo(pointer, keyword), 'a number was expected');
}

export function countOf<T extends number | null>(
  schema: SchemaObject,
  keyword: string,
  pointer: string,
  absent: T,
): number | T {
  if (schema[keyword] === undefined) return absent;
  const value = numberOf(schema, keyword, pointer, 0);
  if (Number.isInteger(value) && value >= 0) return value;
  throw new SchemaError(pointerTo(pointer, keyword), 'a count from 0 on was expected');
}

export function listOf(value: unknown, pointer: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw new SchemaError(pointer, 'a list was expected');
}

export function recordOf(value: unknown, pointer: string): SchemaObject {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as SchemaObject;
  throw new SchemaError(pointer, 'an object was expected');
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}
