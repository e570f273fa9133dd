/** Values that a JSON Schema nearly allows: of the right kind more often than not, and at its bounds more often than within. */
import fc from 'fast-check';

export interface JsonSchema {
  readonly $ref?: string;
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly JsonSchema[];
  readonly items?: JsonSchema;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
}

/** Lengths beyond it say nothing new and take long. */
const charsMax = 1000;

const junk = fc.constantFrom<unknown>(null, '', 'x', 0, -1, 1.5, true, [], {}, [null], { type: 'x' });

/** `named`: what references stand for; none holds itself. */
export function nearlyOf(
  schema: JsonSchema,
  named: Readonly<Record<string, JsonSchema>>,
): fc.Arbitrary<unknown> {
  const right = rightOf(schema, named);
  return fc.oneof({ weight: 4, arbitrary: right }, { weight: 1, arbitrary: junk });
}

function rightOf(schema: JsonSchema, named: Readonly<Record<string, JsonSchema>>): fc.Arbitrary<unknown> {
  if (schema.$ref !== undefined) return rightOf(named[schema.$ref.split('/').pop()!]!, named);
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  if (schema.anyOf !== undefined) return fc.oneof(...schema.anyOf.map((one) => nearlyOf(one, named)));
  switch (schema.type) {
    case 'object':
      return fc.record(
        Object.fromEntries(
          Object.entries(schema.properties ?? {}).map(([name, one]) => [name, nearlyOf(one, named)]),
        ),
        { requiredKeys: [] },
      );
    case 'array':
      return fc.array(nearlyOf(schema.items ?? {}, named), { maxLength: 3 });
    case 'string': {
      const longest = Math.min(schema.maxLength ?? 8, charsMax);
      return fc.oneof(
        fc.string({ maxLength: 8 }),
        fc.constantFrom('', 'x'.repeat(longest), 'x'.repeat(longest + 1)),
      );
    }
    case 'integer':
    case 'number': {
      const { minimum = -10, maximum = 10 } = schema;
      const step = schema.type === 'integer' ? 1 : 0.1;
      return fc.constantFrom(minimum - step, minimum, minimum + step, 0, 1, maximum, maximum + step);
    }
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    default:
      return fc.jsonValue({ maxDepth: 2 });
  }
}
