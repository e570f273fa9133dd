/** One page of a list of items, as OpenAI's cursors walk it. Pure. */
import { type Static, Type } from 'typebox';
import { GatewayError } from '../src/errors.ts';
import type { Item } from '../src/responses/items.ts';
import { ItemBody, idCharsMax, nullable } from './response-schemas.ts';

/** Longest page of a list, and what is taken without a word. */
const pageItemsMax = 100;
const pageItemsUsual = 20;

/** Query strings are text. */
export const PageQuery = Type.Object({
  after: Type.Optional(
    Type.String({ maxLength: idCharsMax, description: 'Id of the item before the page.' }),
  ),
  limit: Type.Optional(
    Type.String({
      pattern: '^([1-9]|[1-9][0-9]|100)$',
      description: `1 to ${pageItemsMax}; default ${pageItemsUsual}.`,
    }),
  ),
  order: Type.Optional(Type.Enum(['asc', 'desc'], { description: 'Default desc, the newest first.' })),
});

export const ItemPage = Type.Object(
  {
    object: Type.Literal('list'),
    data: Type.Array(ItemBody),
    first_id: nullable(Type.String()),
    last_id: nullable(Type.String()),
    has_more: Type.Boolean(),
  },
  { title: 'ItemList', description: 'One page of items.' },
);

/** `items` are in the order in which they came about. Throws invalid_request for a cursor that is not among them. */
export function itemPage(items: readonly Item[], query: Static<typeof PageQuery>) {
  const ordered = query.order === 'asc' ? items : items.toReversed();
  const start = query.after === undefined ? 0 : placeAfter(ordered, query.after);
  const limit = Number(query.limit ?? pageItemsUsual);
  const data = ordered.slice(start, start + limit);
  return {
    object: 'list' as const,
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: start + limit < ordered.length,
  };
}

function placeAfter(items: readonly Item[], id: string): number {
  const place = items.findIndex((item) => item.id === id);
  if (place >= 0) return place + 1;
  throw new GatewayError('invalid_request', `There is no item '${id}' in this list.`, { param: 'after' });
}
