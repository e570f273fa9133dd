/** `"type": "array"`: a tuple's elements, all of them, then items between the bounds. */
import type { Production, SchemaContext } from './production.ts';
import { ending } from './production.ts';
import { pointerTo, SchemaError } from './schema-error.ts';
import { countOf, type SchemaObject } from './schema-node.ts';

/** One rule a count; longer lists fit no answer. */
const itemsLimit = 1000;

/** Throws SchemaError and GrammarTooLarge. */
export function arrayProduction(schema: SchemaObject, pointer: string, context: SchemaContext): Production {
  const min = countOf(schema, 'minItems', pointer, 0);
  const max = countOf(schema, 'maxItems', pointer, null);
  if (max !== null && min > max) throw new SchemaError(pointerTo(pointer, 'minItems'), 'above maxItems');
  for (const [keyword, count] of Object.entries({ minItems: min, maxItems: max ?? 0 })) {
    if (count > itemsLimit)
      throw new SchemaError(pointerTo(pointer, keyword), `more than ${itemsLimit}; leave it out`);
  }
  const { tuple, tupleKeyword, rest, restKeyword } = partsOf(schema);
  const heads = tuple
    .slice(0, max ?? tuple.length)
    .map((element, index) => context.ruleOf(element, pointerTo(pointer, tupleKeyword, index)));
  const [fewest, most] = [Math.max(0, min - heads.length), max === null ? null : max - heads.length];
  const closed = rest === false || (tuple.length > 0 && fewest === 0) || most === 0;
  if (closed && fewest > 0) {
    throw new SchemaError(pointerTo(pointer, 'minItems'), 'more items than are described');
  }
  if (closed) return { text: `"[" ${heads.join(' ", " ')} "]"`, ways: [heads] };
  const item = context.ruleOf(rest, pointerTo(pointer, restKeyword));
  const { writer } = context;
  const next = writer.rule(`", " ${item}`);
  if (heads.length > 0) {
    const text = `"[" ${heads.join(' ", " ')} ${writer.repeat(next, fewest, most)} "]"`;
    return { text, ways: [fewest > 0 ? [...heads, item] : heads] };
  }
  const list = `${item} ${writer.repeat(next, Math.max(0, fewest - 1), most === null ? null : most - 1)}`;
  return fewest === 0 ? ending(`"[" (${list})? "]"`) : { text: `"[" ${list} "]"`, ways: [[item]] };
}

/** `prefixItems` and `items`, or their older names: `items` as a list and `additionalItems`. */
function partsOf(schema: SchemaObject): {
  tuple: readonly unknown[];
  tupleKeyword: string;
  rest: unknown;
  restKeyword: string;
} {
  const { items, prefixItems, additionalItems = true } = schema;
  if (Array.isArray(items)) {
    return { tuple: items, tupleKeyword: 'items', rest: additionalItems, restKeyword: 'additionalItems' };
  }
  return {
    tuple: Array.isArray(prefixItems) ? prefixItems : [],
    tupleKeyword: 'prefixItems',
    rest: items ?? true,
    restKeyword: 'items',
  };
}
