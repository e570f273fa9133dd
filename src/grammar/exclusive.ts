/**
 * Are the branches of `oneOf` exclusive? Only then is a text of one of them right: a grammar cannot say "and of no
 * other". Provable are different types, different fixed values, and a required property that tells them apart.
 */
import { jsonText } from './json-rules.ts';
import type { SchemaContext } from './production.ts';
import { type JsonType, type SchemaObject, typesOf } from './schema-node.ts';

/** References that lead to references are followed so far. */
const refsMax = 16;

interface Branch {
  readonly schema: unknown;
  readonly pointer: string;
}

/** May a value belong to both? true where nothing proves that it may not. */
export function mayOverlap(a: Branch, b: Branch, context: SchemaContext): boolean {
  const [left, right] = [followed(a, context), followed(b, context)];
  if (left.schema === false || right.schema === false) return false;
  if (typeof left.schema !== 'object' || typeof right.schema !== 'object') return true;
  const [one, other] = [left.schema as SchemaObject, right.schema as SchemaObject];
  const [values, others] = [fixedValues(one), fixedValues(other)];
  if (values !== null && others !== null) return values.some((value) => others.includes(value));
  if (!shareType(typesOf(one, left.pointer), typesOf(other, right.pointer))) return false;
  const shared = requiredOf(one).filter((name) => requiredOf(other).includes(name));
  return !shared.some((name) => {
    const property = (schema: SchemaObject, { pointer }: Branch): Branch => ({
      schema: (schema['properties'] as SchemaObject | undefined)?.[name],
      pointer: `${pointer}/properties/${name}`,
    });
    const [tag, otherTag] = [property(one, left), property(other, right)].map((branch) => {
      const { schema } = followed(branch, context);
      return typeof schema === 'object' && schema !== null ? fixedValues(schema as SchemaObject) : null;
    });
    return tag != null && otherTag != null && !tag.some((value) => otherTag.includes(value));
  });
}

function followed(branch: Branch, context: SchemaContext): Branch {
  let at = branch;
  for (let refs = 0; refs < refsMax; refs++) {
    const { schema, pointer } = at;
    if (typeof schema !== 'object' || schema === null || !('$ref' in schema)) return at;
    at = context.resolve(schema.$ref, pointer);
  }
  return { schema: true, pointer: branch.pointer };
}

function fixedValues(schema: SchemaObject): readonly string[] | null {
  if ('const' in schema) return [jsonText(schema['const'])];
  return Array.isArray(schema['enum']) ? schema['enum'].map(jsonText) : null;
}

function requiredOf(schema: SchemaObject): readonly string[] {
  const { required } = schema;
  return Array.isArray(required) ? required.filter((name) => typeof name === 'string') : [];
}

function shareType(a: readonly JsonType[] | null, b: readonly JsonType[] | null): boolean {
  if (a === null || b === null) return true;
  const numbers = ({ 0: kind }: [JsonType]) => (kind === 'integer' ? 'number' : kind);
  return a.some((type) => b.some((other) => numbers([type]) === numbers([other])));
}
