/**
 * `"type": "object"`: declared properties in their order, the optional ones each said or left out; without declared
 * properties a map, whose names may follow a pattern.
 */
import { anyOf, literal } from './ebnf.ts';
import { stringRule } from './json-rules.ts';
import { ending, type Production, type SchemaContext } from './production.ts';
import { pointerTo, SchemaError } from './schema-error.ts';
import { constraintsBeside, countOf, listOf, recordOf, type SchemaObject } from './schema-node.ts';
import { stringProduction } from './string-grammar.ts';

interface Property {
  readonly member: string;
  readonly value: string;
  readonly required: boolean;
}

/** Throws SchemaError and GrammarTooLarge. */
export function objectProduction(schema: SchemaObject, pointer: string, context: SchemaContext): Production {
  const properties = propertiesOf(schema, pointer, context);
  const min = countOf(schema, 'minProperties', pointer, 0);
  const max = countOf(schema, 'maxProperties', pointer, null);
  if (properties.length === 0) return mapProduction(schema, pointer, context, { min, max });
  if ('patternProperties' in schema) {
    throw new SchemaError(pointerTo(pointer, 'patternProperties'), 'not supported beside properties');
  }
  const needed = properties.filter(({ required }) => required);
  if (min > needed.length) {
    throw new SchemaError(pointerTo(pointer, 'minProperties'), 'above the number of required properties');
  }
  if (max !== null && max < properties.length) {
    throw new SchemaError(pointerTo(pointer, 'maxProperties'), 'below the number of properties');
  }
  return {
    text: `"{" ${membersFrom(properties, context)} "}"`,
    ways: [needed.map(({ value }) => value)],
  };
}

function propertiesOf(schema: SchemaObject, pointer: string, context: SchemaContext): Property[] {
  const declared = recordOf(schema['properties'] ?? {}, pointerTo(pointer, 'properties'));
  const required = listOf(schema['required'] ?? [], pointerTo(pointer, 'required'));
  for (const [index, name] of required.entries()) {
    if (typeof name === 'string') continue;
    throw new SchemaError(pointerTo(pointer, 'required', index), 'a name was expected');
  }
  const { additionalProperties = true } = schema;
  const undeclared = [...new Set(required as string[])].filter((name) => !Object.hasOwn(declared, name));
  if (undeclared.length > 0 && (additionalProperties === false || 'patternProperties' in schema)) {
    throw new SchemaError(pointerTo(pointer, 'required'), `"${undeclared[0]}" is not among the properties`);
  }
  const all: [name: string, schema: unknown, at: string][] = [
    ...Object.entries(declared).map(([name, property]): [string, unknown, string] => [
      name,
      property,
      pointerTo(pointer, 'properties', name),
    ]),
    ...undeclared.map((name): [string, unknown, string] => [
      name,
      additionalProperties,
      pointerTo(pointer, 'additionalProperties'),
    ]),
  ];
  return all
    .filter(([name, property]) => property !== false || required.includes(name))
    .map(([name, property, at]) => {
      const value = context.ruleOf(property, at);
      return {
        member: `${literal(`${JSON.stringify(name)}: `)} ${value}`,
        value,
        required: required.includes(name),
      };
    });
}

/**
 * Members with their commas. `first`: nothing was said yet. One rule per property and case, from the last to the first,
 * so that n optional properties take 2n rules and not 2^n.
 */
function membersFrom(properties: readonly Property[], { writer }: SchemaContext): string {
  let first = '""';
  let later = '""';
  for (const { member, required } of properties.toReversed()) {
    const [asFirst, asLater] = [`${member} ${later}`, `", " ${member} ${later}`];
    const [skippedFirst, skippedLater] = [first, later];
    later = writer.rule(required ? asLater : anyOf([asLater, skippedLater]));
    first = writer.rule(required ? asFirst : anyOf([asFirst, skippedFirst]));
  }
  return first;
}

function mapProduction(
  schema: SchemaObject,
  pointer: string,
  context: SchemaContext,
  { min, max }: { readonly min: number; readonly max: number | null },
): Production {
  // Names may repeat, and then count once.
  if (min > 1)
    throw new SchemaError(pointerTo(pointer, 'minProperties'), 'above 1 is not supported for a map');
  const { additionalProperties = true, propertyNames, patternProperties } = schema;
  const patterns = Object.entries(recordOf(patternProperties ?? {}, pointerTo(pointer, 'patternProperties')));
  if (patterns.length > 1) {
    throw new SchemaError(pointerTo(pointer, 'patternProperties'), 'more than one pattern is not supported');
  }
  if (patterns.length === 1 && propertyNames !== undefined) {
    throw new SchemaError(pointerTo(pointer, 'propertyNames'), 'not supported beside patternProperties');
  }
  const [pattern] = patterns;
  if ((pattern === undefined && additionalProperties === false) || max === 0) {
    if (min > 0) throw new SchemaError(pointerTo(pointer, 'minProperties'), 'no property is allowed here');
    return ending('"{}"');
  }
  const [value, name] =
    pattern === undefined
      ? [
          context.ruleOf(additionalProperties, pointerTo(pointer, 'additionalProperties')),
          propertyNames === undefined
            ? stringRule(context.writer)
            : nameRule(propertyNames, pointerTo(pointer, 'propertyNames'), context),
        ]
      : [
          context.ruleOf(pattern[1], pointerTo(pointer, 'patternProperties', pattern[0])),
          nameRule({ pattern: pattern[0] }, pointerTo(pointer, 'patternProperties', pattern[0]), context),
        ];
  const { writer } = context;
  const member = writer.rule(`${name} ": " ${value}`);
  const rest = writer.repeat(writer.rule(`", " ${member}`), 0, max === null ? null : max - 1);
  const members = `${member} ${rest}`;
  return min === 0 ? ending(`"{" (${members})? "}"`) : { text: `"{" ${members} "}"`, ways: [[value]] };
}

/** Names of a map: what `"type": "string"` may ask for, or a list. */
function nameRule(schema: unknown, pointer: string, context: SchemaContext): string {
  const named = recordOf(schema, pointer);
  const [other] = constraintsBeside(named, 'type', 'enum', 'pattern', 'format', 'minLength', 'maxLength');
  if (other !== undefined) throw new SchemaError(pointerTo(pointer, other), 'not supported for names');
  if (named['enum'] === undefined) return context.writer.rule(stringProduction(named, pointer, context).text);
  const names = listOf(named['enum'], pointerTo(pointer, 'enum')).filter((name) => typeof name === 'string');
  if (names.length === 0) throw new SchemaError(pointerTo(pointer, 'enum'), 'no name is allowed');
  return context.writer.rule(anyOf(names.map((name) => literal(JSON.stringify(name)))));
}
