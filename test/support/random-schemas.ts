/** Random JSON schemas of the kinds that are served: nested, optional, bounded, fixed values, patterns, references. */
import fc from 'fast-check';

export type RandomSchema = Readonly<Record<string, unknown>>;

const names = fc.constantFrom('a', 'id', 'name', 'a"b', 'tags', 'é', 'next', 'x y', '$n');

const integers = fc
  .tuple(
    fc.integer({ min: -2000, max: 2000 }),
    fc.integer({ min: 0, max: 3000 }),
    fc.integer({ min: 0, max: 3 }),
  )
  .map(([low, width, kind]) => {
    if (kind === 0) return { type: 'integer' };
    if (kind === 1) return { type: 'integer', minimum: low, maximum: low + width };
    if (kind === 2) return { type: 'integer', exclusiveMinimum: low, maximum: low + width + 1 };
    return { type: 'number', minimum: low / 4, maximum: low / 4 + width + 0.5 };
  });

const strings = fc
  .tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 5 }))
  .map(([min, more]): RandomSchema => ({ type: 'string', minLength: min, maxLength: min + more }));

const longStrings = fc.constantFrom<RandomSchema>(
  { type: 'string', minLength: 33 },
  { type: 'string', minLength: 34, maxLength: 40 },
  { type: 'string', maxLength: 1024 },
);

const patterns = fc
  .constantFrom(
    '^[a-z]{2,4}$',
    '^(yes|no|maybe)$',
    '^[A-Z]{2}-\\d{1,3}$',
    '[^"x]{1,3}',
    '^\\w+@\\w{1,5}\\.(com|org)$',
    '^.{2,3}"?$',
    '^\\S{1,2}\\s?[à-ü]$',
  )
  .map((pattern) => ({ type: 'string', pattern }));

const formats = fc
  .constantFrom('date', 'time', 'date-time', 'uuid', 'ipv4', 'duration')
  .map((format) => ({ type: 'string', format }));

const fixed = fc.oneof(
  fc
    .uniqueArray(fc.oneof(fc.string({ maxLength: 6 }), fc.integer(), fc.boolean(), fc.constant(null)), {
      minLength: 1,
      maxLength: 4,
    })
    .map((values) => ({ enum: values })),
  fc.constantFrom('red', 7, null, true, { deep: [1, 'two'] }, [], {}).map((value) => ({ const: value })),
);

const leaves = fc.oneof(
  integers,
  { arbitrary: strings, weight: 2 },
  longStrings,
  patterns,
  formats,
  fixed,
  fc.constantFrom<RandomSchema>({ type: 'boolean' }, { type: 'null' }, { type: ['boolean', 'null'] }),
);

const { schema } = fc.letrec<{ schema: RandomSchema; nested: RandomSchema }>((tie) => ({
  schema: fc.oneof({ maxDepth: 3, depthSize: 'small' }, leaves, tie('nested')),
  nested: fc.oneof(
    fc
      .tuple(
        fc.uniqueArray(fc.tuple(names, tie('schema'), fc.boolean()), {
          selector: ([name]) => name,
          maxLength: 4,
        }),
        fc.boolean(),
      )
      .map(([properties, closed]) => ({
        type: 'object',
        properties: Object.fromEntries(properties.map(([name, property]) => [name, property])),
        required: properties.filter(([, , required]) => required).map(([name]) => name),
        ...(closed && { additionalProperties: false }),
      })),
    fc
      .tuple(tie('schema'), fc.integer({ min: 0, max: 2 }), fc.integer({ min: 0, max: 2 }))
      .map(([items, min, more]) => ({ type: 'array', items, minItems: min, maxItems: min + more })),
    fc.tuple(tie('schema'), tie('schema'), fc.boolean()).map(([first, second, open]) => ({
      type: 'array',
      prefixItems: [first, second],
      ...(open ? { maxItems: 3 } : { items: false }),
    })),
    fc.array(tie('schema'), { minLength: 1, maxLength: 3 }).map((anyOf) => ({ anyOf })),
    tie('schema').map((value) => ({
      type: 'object',
      additionalProperties: value,
      propertyNames: { pattern: '^[a-z]{1,3}$' },
      maxProperties: 2,
    })),
    fc.constant({ $ref: '#/$defs/chain' }),
    fc.constant({ $ref: '#/$defs/leaf' }),
  ),
}));

/** Every schema carries the definitions that references lead to; `chain` refers to itself. */
export const randomSchemas: fc.Arbitrary<RandomSchema> = fc.tuple(schema, leaves).map(([root, leaf]) => ({
  ...root,
  $defs: {
    leaf,
    chain: {
      type: 'object',
      properties: { v: { type: 'boolean' }, next: { anyOf: [{ type: 'null' }, { $ref: '#/$defs/chain' }] } },
      required: ['v', 'next'],
      additionalProperties: false,
    },
  },
}));

/** Features that no grammar can promise. */
const refusals = fc.constantFrom<readonly [keyword: string, value: unknown]>(
  ['not', {}],
  ['if', { type: 'string' }],
  ['contains', {}],
  ['uniqueItems', true],
  ['multipleOf', 3],
  ['dependentRequired', { a: ['b'] }],
  ['$ref', 'https://example.com/schema'],
  ['pattern', '(?=a)b'],
  ['maxLength', 5000],
);

/** A schema that is served but for one place, and the pointer to what is to blame there. */
export const refusedSchemas: fc.Arbitrary<{ schema: RandomSchema; pointer: string }> = fc
  .tuple(randomSchemas, fc.array(fc.constantFrom('property', 'item', 'branch'), { maxLength: 5 }), refusals)
  .map(([beside, path, [keyword, value]]) => {
    const about = ['pattern', 'maxLength'].includes(keyword) ? { type: 'string' } : {};
    let schema: RandomSchema = { ...about, [keyword]: value };
    let pointer = `/${keyword}`;
    for (const step of path) {
      if (step === 'property') {
        schema = {
          type: 'object',
          properties: { 'a/b': { type: 'null' }, 'c~d': schema },
          required: ['c~d'],
        };
        pointer = `/properties/c~0d${pointer}`;
      } else if (step === 'item') {
        schema = { type: 'array', items: schema, maxItems: 2 };
        pointer = `/items${pointer}`;
      } else {
        schema = { anyOf: [{ type: 'null' }, schema] };
        pointer = `/anyOf/1${pointer}`;
      }
    }
    const { $defs, ...first } = beside;
    return {
      schema: { $defs, type: 'array', prefixItems: [first, schema] },
      pointer: `/prefixItems/1${pointer}`,
    };
  });
