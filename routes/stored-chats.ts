/**
 * Chats that were kept: listed, read, noted on, deleted, and what they answered. Somebody else's chat is one that does
 * not exist.
 */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import { GatewayError } from '../src/errors.ts';
import type { ChatStore, StoredChat } from '../src/responses/chat-store.ts';
import { idOf } from './response-schemas.ts';
import { type ChatCompletionBody, ErrorBody, type MessageBody } from './schemas.ts';
import {
  ChatListQuery,
  ChatPageQuery,
  DeletedChat,
  pageChatsUsual,
  StoredChatBody,
  StoredChatList,
  StoredChatUpdate,
  StoredMessageList,
} from './stored-chat-schemas.ts';

const tags = ['chat'];
const params = Type.Object({ id: idOf('chat') });
const errors = { '4xx': ErrorBody, '5xx': ErrorBody };
const url = '/v1/chat/completions';

export async function storedChatRoutes(
  app: FastifyInstance,
  { chats }: { readonly chats: ChatStore },
): Promise<void> {
  const routes = app.withTypeProvider<TypeBoxTypeProvider>();

  routes.get(
    url,
    {
      schema: {
        operationId: 'listChatCompletions',
        summary: 'List stored chats',
        description: 'Notes narrow the list: `metadata[topic]=demo`.',
        tags,
        querystring: ChatListQuery,
        response: { 200: StoredChatList, ...errors },
      },
    },
    async ({ query, owner }) => {
      const page = chats.list(owner, {
        after: query.after ?? null,
        model: query.model ?? null,
        metadata: metadataOf(query),
        newestFirst: query.order === 'desc',
        limit: Number(query.limit ?? pageChatsUsual),
      });
      if (page === null) throw noEntry(query.after!);
      return listOf(page.chats.map(bodyOf), page.hasMore);
    },
  );

  routes.get(
    `${url}/:id`,
    {
      schema: {
        operationId: 'getChatCompletion',
        summary: 'Read a stored chat',
        tags,
        params,
        response: { 200: StoredChatBody, ...errors },
      },
    },
    async ({ params: { id }, owner }) => bodyOf(chats.get(owner, id) ?? notFound(id)),
  );

  routes.post(
    `${url}/:id`,
    {
      schema: {
        operationId: 'updateChatCompletion',
        summary: 'Replace the notes on a stored chat',
        tags,
        params,
        body: StoredChatUpdate,
        response: { 200: StoredChatBody, ...errors },
      },
    },
    async ({ params: { id }, body, owner }) =>
      bodyOf(chats.update(owner, id, body.metadata ?? {}) ?? notFound(id)),
  );

  routes.delete(
    `${url}/:id`,
    {
      schema: {
        operationId: 'deleteChatCompletion',
        summary: 'Delete a stored chat',
        tags,
        params,
        response: { 200: DeletedChat, ...errors },
      },
    },
    async ({ params: { id }, owner }) => {
      if (!chats.delete(owner, id)) notFound(id);
      return { id, object: 'chat.completion.deleted' as const, deleted: true as const };
    },
  );

  routes.get(
    `${url}/:id/messages`,
    {
      schema: {
        operationId: 'listChatMessages',
        summary: 'List what a stored chat answered',
        tags,
        params,
        querystring: ChatPageQuery,
        response: { 200: StoredMessageList, ...errors },
      },
    },
    async ({ params: { id }, query, owner }) => {
      const { messages } = chats.get(owner, id) ?? notFound(id);
      const all = (JSON.parse(messages) as MessageBody[]).map((message, index) => ({
        ...{ ...message, content: message.content ?? null },
        id: `${id}-${index}`,
      }));
      const ordered = query.order === 'desc' ? all.toReversed() : all;
      const before = query.after === undefined ? -1 : ordered.findIndex((one) => one.id === query.after);
      if (query.after !== undefined && before < 0) throw noEntry(query.after);
      const limit = Number(query.limit ?? pageChatsUsual);
      const data = ordered.slice(before + 1, before + 1 + limit);
      return listOf(data, before + 1 + limit < ordered.length);
    },
  );
}

const bodyOf = ({ completion, metadata }: StoredChat): Static<typeof StoredChatBody> => ({
  ...(JSON.parse(completion) as ChatCompletionBody),
  metadata: { ...metadata },
});

function listOf<T extends { readonly id: string }>(data: readonly T[], hasMore: boolean) {
  return {
    object: 'list' as const,
    data: [...data],
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: hasMore,
  };
}

/** `metadata[topic]=demo` → { topic: 'demo' }. */
function metadataOf(query: FastifyRequest['query']): Record<string, string> {
  const wanted = Object.entries(query as Record<string, unknown>).flatMap(([name, value]) => {
    const key = /^metadata\[(.+)\]$/.exec(name)?.[1];
    return key === undefined ? [] : [[key, String(value)]];
  });
  return Object.fromEntries(wanted) as Record<string, string>;
}

const noEntry = (id: string): GatewayError =>
  new GatewayError('invalid_request', `There is no entry '${id}' in this list.`, { param: 'after' });

function notFound(id: string): never {
  throw new GatewayError('completion_not_found', `No chat is stored under the id '${id}'.`, {
    param: 'completion_id',
  });
}
