/** `/v1/conversations` and their items. Somebody else's conversation is one that does not exist. */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { GatewayError } from '../src/errors.ts';
import type { Responses } from '../src/responses/assembly.ts';
import type { Conversation } from '../src/responses/conversation-store.ts';
import type { Item, NewId } from '../src/responses/items.ts';
import {
  ConversationBody,
  ConversationItemsRequest,
  ConversationRequest,
  ConversationUpdate,
  DeletedConversation,
} from './conversation-schemas.ts';
import { ItemPage, itemPage, PageQuery } from './item-page.ts';
import { readItems } from './response-items.ts';
import { type InputItemBody, ItemBody, idOf } from './response-schemas.ts';
import { ErrorBody } from './schemas.ts';

export interface ConversationRoutesOptions {
  readonly responses: Responses;
  readonly newId: NewId;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

const tags = ['conversations'];
const params = Type.Object({ id: idOf('conversation') });
const itemParams = Type.Object({ id: idOf('conversation'), item: idOf('item') });
const errors = { '4xx': ErrorBody, '5xx': ErrorBody };

export async function conversationRoutes(
  app: FastifyInstance,
  { responses, newId, now }: ConversationRoutesOptions,
): Promise<void> {
  const { conversations, stored } = responses;
  const routes = app.withTypeProvider<TypeBoxTypeProvider>();

  function find(owner: string, id: string): Conversation {
    return conversations.get(owner, id) ?? notFound(id);
  }

  function itemsOf(owner: string, id: string): readonly Item[] {
    return conversations.items(owner, id) ?? notFound(id);
  }

  function readNew(owner: string, bodies: readonly InputItemBody[]): Item[] {
    return readItems([...bodies], newId, 'items').map((item) => {
      if (item.type !== 'item_reference') return item;
      return stored.findItem(owner, item.id) ?? itemNotFound(item.id);
    });
  }

  routes.post(
    '/v1/conversations',
    {
      schema: {
        operationId: 'createConversation',
        summary: 'Begin a conversation',
        tags,
        body: ConversationRequest,
        response: { 200: ConversationBody, ...errors },
      },
    },
    async ({ body, owner }) => {
      const conversation: Conversation = {
        id: newId('conv_'),
        object: 'conversation',
        created_at: Math.floor(now() / 1000),
        metadata: body.metadata ?? {},
      };
      conversations.create(owner, conversation, readNew(owner, body.items ?? []));
      return conversation;
    },
  );

  routes.get(
    '/v1/conversations/:id',
    {
      schema: {
        operationId: 'getConversation',
        summary: 'Read a conversation',
        tags,
        params,
        response: { 200: ConversationBody, ...errors },
      },
    },
    async ({ params: { id }, owner }) => find(owner, id),
  );

  routes.post(
    '/v1/conversations/:id',
    {
      schema: {
        operationId: 'updateConversation',
        summary: 'Replace the metadata of a conversation',
        tags,
        params,
        body: ConversationUpdate,
        response: { 200: ConversationBody, ...errors },
      },
    },
    async ({ params: { id }, body, owner }) =>
      conversations.update(owner, id, body.metadata ?? {}) ?? notFound(id),
  );

  routes.delete(
    '/v1/conversations/:id',
    {
      schema: {
        operationId: 'deleteConversation',
        summary: 'Delete a conversation and its items',
        tags,
        params,
        response: { 200: DeletedConversation, ...errors },
      },
    },
    async ({ params: { id }, owner }) => {
      if (!conversations.delete(owner, id)) notFound(id);
      return { id, object: 'conversation.deleted' as const, deleted: true as const };
    },
  );

  routes.get(
    '/v1/conversations/:id/items',
    {
      schema: {
        operationId: 'listConversationItems',
        summary: 'List the items of a conversation',
        tags,
        params,
        querystring: PageQuery,
        response: { 200: ItemPage, ...errors },
      },
    },
    async ({ params: { id }, query, owner }) => itemPage(itemsOf(owner, id), query),
  );

  routes.post(
    '/v1/conversations/:id/items',
    {
      schema: {
        operationId: 'createConversationItems',
        summary: 'Add items to a conversation',
        tags,
        params,
        body: ConversationItemsRequest,
        response: { 200: ItemPage, ...errors },
      },
    },
    async ({ params: { id }, body, owner }) => {
      const added = readNew(owner, body.items);
      if (!conversations.addItems(owner, id, added)) notFound(id);
      return itemPage(added, { order: 'asc' });
    },
  );

  routes.get(
    '/v1/conversations/:id/items/:item',
    {
      schema: {
        operationId: 'getConversationItem',
        summary: 'Read an item of a conversation',
        tags,
        params: itemParams,
        response: { 200: ItemBody, ...errors },
      },
    },
    async ({ params: { id, item }, owner }) =>
      itemsOf(owner, id).find((candidate) => candidate.id === item) ?? itemNotFound(item),
  );

  routes.delete(
    '/v1/conversations/:id/items/:item',
    {
      schema: {
        operationId: 'deleteConversationItem',
        summary: 'Delete an item of a conversation',
        tags,
        params: itemParams,
        response: { 200: ConversationBody, ...errors },
      },
    },
    async ({ params: { id, item }, owner }) => {
      const conversation = find(owner, id);
      if (!conversations.deleteItem(owner, id, item)) itemNotFound(item);
      return conversation;
    },
  );
}

function notFound(id: string): never {
  throw new GatewayError('conversation_not_found', `Conversation with id '${id}' not found.`, {
    param: 'conversation_id',
  });
}

function itemNotFound(id: string): never {
  throw new GatewayError('item_not_found', `Item with id '${id}' not found.`, { param: 'item_id' });
}
