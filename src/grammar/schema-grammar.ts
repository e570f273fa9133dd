/**
 * A JSON Schema as a grammar: every text of the grammar is JSON that the schema accepts. It may say less than the schema
 * allows (declared properties in their order, one space after `,` and `:`, no properties beyond the declared ones), never
 * more; what it cannot promise is refused with the pointer to it. Limits follow OpenAI's structured outputs.
 */
import { arrayProduction } from './array-grammar.ts';
import { anyOf, type EbnfWriter, GrammarTooLarge, literal } from './ebnf.ts';
import { mayOverlap } from './exclusive.ts';
import { type JsonRules, jsonRules, jsonText } from './json-rules.ts';
import { anyInteger, anyNumber, type Bounds, integersWithin, numbersWithin } from './number-grammar.ts';
import { objectProduction } from './object-grammar.ts';
import { ending, endlessRule, type Production, type SchemaContext } from './production.ts';
import { pointerTo, SchemaError } from './schema-error.ts';
import {
  asSchema,
  constraintsBeside,
  hasType,
  type JsonType,
  jsonTypes,
  listOf,
  numberOf,
  type SchemaObject,
  typesOf,
} from './schema-node.ts';
import { stringProduction } from './string-grammar.ts';

/** Schemas inside of one schema; OpenAI allows 5,000 properties. */
const schemasMax = 5000;
/** Schemas inside of one another; OpenAI allows 10 levels. */
const depthMax = 64;
/** Fixed values in all. */
const valuesMax = 5000;

/** The rule of a schema, in `writer`'s grammar. Throws SchemaError. */
export function schemaRule(schema: unknown, writer: EbnfWriter): string {
  try {
    return new SchemaCompiler(schema, writer).compile();
  } catch (cause) {
    if (cause instanceof GrammarTooLarge)
      throw new SchemaError('', `the schema is too large: ${cause.message}`, { cause });
    throw cause;
  }
}

class SchemaCompiler implements SchemaContext {
  readonly writer: EbnfWriter;
  readonly #root: unknown;
  readonly #rules = new Map<string, string>();
  readonly #productions = new Map<string, Production>();
  readonly #pointers = new Map<string, string>();
  #any: JsonRules | null = null;
  #depth = 0;
  #values = 0;

  constructor(root: unknown, writer: EbnfWriter) {
    this.#root = root;
    this.writer = writer;
  }

  compile(): string {
    const start = this.ruleOf(this.#root, '');
    const endless = endlessRule(this.#productions);
    if (endless === null) return start;
    throw new SchemaError(this.#pointers.get(endless)!, 'no finite value satisfies this schema');
  }

  ruleOf(schema: unknown, pointer: string): string {
    const known = this.#rules.get(pointer);
    if (known !== undefined) return known;
    if (this.#rules.size >= schemasMax) throw new SchemaError(pointer, `more than ${schemasMax} schemas`);
    if (++this.#depth > depthMax) throw new SchemaError(pointer, `more than ${depthMax} levels deep`);
    const name = this.writer.reserve();
    this.#rules.set(pointer, name);
    this.#pointers.set(name, pointer);
    const production = this.#production(asSchema(schema, pointer), pointer);
    this.writer.define(name, production.text);
    this.#productions.set(name, production);
    this.#depth -= 1;
    return name;
  }

  resolve(ref: unknown, pointer: string): { readonly schema: unknown; readonly pointer: string } {
    const at = pointerTo(pointer, '$ref');
    if (typeof ref !== 'string' || !/^#(\/|$)/.test(ref)) {
      throw new SchemaError(at, 'only references inside of the schema ("#/…") are supported');
    }
    let schema = this.#root;
    for (const step of ref.slice(1).split('/').slice(1)) {
      const name = decodeURIComponentOr(step).replaceAll('~1', '/').replaceAll('~0', '~');
      const inside = typeof schema === 'object' && schema !== null && Object.hasOwn(schema, name);
      if (!inside) throw new SchemaError(at, `"${ref}" leads nowhere`);
      schema = (schema as SchemaObject)[name];
    }
    return { schema, pointer: ref.slice(1) };
  }

  anyJson(): JsonRules {
    this.#any ??= jsonRules(this.writer, 'fixed');
    return this.#any;
  }

  #production(schema: SchemaObject | boolean, pointer: string): Production {
    if (schema === true) return ending(this.anyJson().value);
    if (schema === false) throw new SchemaError(pointer, 'nothing satisfies this schema');
    for (const keyword of ['$ref', 'allOf', 'const', 'enum', 'anyOf', 'oneOf'] as const) {
      if (schema[keyword] !== undefined) return this.#composed(schema, keyword, pointer);
    }
    const types = typesOf(schema, pointer) ?? jsonTypes.filter((type) => type !== 'integer');
    if (constraintsBeside(schema).length === 0) return ending(this.anyJson().value);
    return either(
      types.map((type) => this.#typed(type, schema, pointer)),
      this.writer,
    );
  }

  #composed(
    schema: SchemaObject,
    keyword: '$ref' | 'allOf' | 'const' | 'enum' | 'anyOf' | 'oneOf',
    pointer: string,
  ): Production {
    const at = pointerTo(pointer, keyword);
    const isFixed = keyword === 'const' || keyword === 'enum';
    const [beside] = constraintsBeside(schema, keyword, ...(isFixed ? ['type'] : []));
    if (beside !== undefined) {
      throw new SchemaError(pointerTo(pointer, beside), `not supported beside "${keyword}"`);
    }
    if (isFixed) {
      const values = keyword === 'const' ? [schema['const']] : listOf(schema['enum'], at);
      return this.#fixed(values, typesOf({ type: schema['type'] } as SchemaObject, pointer), at);
    }
    if (keyword === '$ref') {
      const target = this.resolve(schema['$ref'], pointer);
      const rule = this.ruleOf(target.schema, target.pointer);
      return { text: rule, ways: [[rule]] };
    }
    const branches = listOf(schema[keyword], at);
    if (branches.length === 0) throw new SchemaError(at, 'an empty list');
    if (keyword === 'allOf' && branches.length > 1)
      throw new SchemaError(at, 'more than one is not supported');
    if (keyword === 'oneOf') this.#assertExclusive(branches, at);
    const rules = branches
      .map((branch, index) => ({ branch, at: pointerTo(at, index) }))
      .filter(({ branch }) => branch !== false)
      .map(({ branch, at }) => this.ruleOf(branch, at));
    if (rules.length === 0) throw new SchemaError(at, 'nothing satisfies this schema');
    return { text: anyOf(rules), ways: rules.map((rule) => [rule]) };
  }

  #fixed(values: readonly unknown[], types: readonly JsonType[] | null, at: string): Production {
    this.#values += values.length;
    if (this.#values > valuesMax) throw new SchemaError(at, `more than ${valuesMax} fixed values`);
    const allowed = types === null ? values : values.filter((value) => hasType(value, types));
    if (allowed.length === 0) throw new SchemaError(at, 'no value of this type');
    return ending(anyOf([...new Set(allowed.map(jsonText))].map(literal)));
  }

  #assertExclusive(branches: readonly unknown[], at: string): void {
    for (const [index, schema] of branches.entries()) {
      const branch = { schema: asSchema(schema, pointerTo(at, index)), pointer: pointerTo(at, index) };
      for (let other = 0; other < index; other++) {
        const earlier = { schema: branches[other], pointer: pointerTo(at, other) };
        if (mayOverlap(earlier, branch, this)) {
          throw new SchemaError(at, `a value may satisfy both ${other} and ${index}; use "anyOf"`);
        }
      }
    }
  }

  #typed(type: JsonType, schema: SchemaObject, pointer: string): Production {
    switch (type) {
      case 'object':
        return objectProduction(schema, pointer, this);
      case 'array':
        return arrayProduction(schema, pointer, this);
      case 'string':
        return stringProduction(schema, pointer, this);
      case 'integer':
      case 'number':
        return ending(numberText(type, schema, pointer));
      case 'boolean':
        return ending('("true" | "false")');
      case 'null':
        return ending('"null"');
    }
  }
}

function numberText(type: 'integer' | 'number', schema: SchemaObject, pointer: string): string {
  const bounds = boundsOf(schema, pointer);
  if (bounds.min === -Infinity && bounds.max === Infinity) return type === 'integer' ? anyInteger : anyNumber;
  const text = type === 'integer' ? integersWithin(bounds) : numbersWithin(bounds);
  if (text !== null) return text;
  throw new SchemaError(
    pointerTo(pointer, 'minimum' in schema ? 'minimum' : 'maximum'),
    'too narrow a range',
  );
}

/** `exclusiveMinimum` is a bound of its own; draft 4's booleans turn `minimum` into one. */
function boundsOf(schema: SchemaObject, pointer: string): Bounds {
  const { exclusiveMinimum: above, exclusiveMaximum: below } = schema;
  const number = (keyword: string, absent: number): number =>
    typeof schema[keyword] === 'boolean' ? absent : numberOf(schema, keyword, pointer, absent);
  const [min, excludedMin] = [number('minimum', -Infinity), number('exclusiveMinimum', -Infinity)];
  const [max, excludedMax] = [number('maximum', Infinity), number('exclusiveMaximum', Infinity)];
  return {
    min: Math.max(min, excludedMin),
    max: Math.min(max, excludedMax),
    minExcluded: above === true || excludedMin >= min,
    maxExcluded: below === true || excludedMax <= max,
  };
}

function either(productions: readonly Production[], writer: EbnfWriter): Production {
  if (productions.length === 1) return productions[0]!;
  return {
    text: anyOf(productions.map(({ text }) => writer.rule(text))),
    ways: productions.flatMap(({ ways }) => ways),
  };
}

function decodeURIComponentOr(step: string): string {
  try {
    return decodeURIComponent(step);
  } catch {
    return step;
  }
}
