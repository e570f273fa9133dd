/** Bodies and queries of stored chats, once: validator, static type and openapi.yaml come from these objects. */
import { Type } from 'typebox';
import { idCharsMax, nullable } from './response-schemas.ts';
import { ChatCompletion, Message, Metadata } from './schemas.ts';

/** Longest page of a list, and what is taken without a word. */
export const pageChatsUsual = 20;

export const StoredChatBody = Type.Object(
  { ...ChatCompletion.properties, metadata: Metadata },
  { title: 'StoredChat', description: 'The answer to a chat, and the notes on it.' },
);

/** Query strings are text. */
export const ChatPageQuery = Type.Object({
  after: Type.Optional(
    Type.String({ maxLength: idCharsMax, description: 'Id of the entry before the page.' }),
  ),
  limit: Type.Optional(
    Type.String({ pattern: '^([1-9]|[1-9][0-9]|100)$', description: `1 to 100; default ${pageChatsUsual}.` }),
  ),
  order: Type.Optional(Type.Enum(['asc', 'desc'], { description: 'Default asc, the oldest first.' })),
});

export const ChatListQuery = Type.Object({
  ...ChatPageQuery.properties,
  model: Type.Optional(Type.String({ maxLength: idCharsMax, description: 'Only answers of this model.' })),
});

export const StoredChatList = Type.Object(
  {
    object: Type.Literal('list'),
    data: Type.Array(StoredChatBody),
    first_id: nullable(Type.String()),
    last_id: nullable(Type.String()),
    has_more: Type.Boolean(),
  },
  { title: 'StoredChatList', description: 'One page of stored chats.' },
);

export const StoredMessageList = Type.Object(
  {
    object: Type.Literal('list'),
    data: Type.Array(
      Type.Object(
        { ...Message.properties, id: Type.String() },
        { title: 'StoredMessage', description: 'A message of a stored chat, as it was sent.' },
      ),
    ),
    first_id: nullable(Type.String()),
    last_id: nullable(Type.String()),
    has_more: Type.Boolean(),
  },
  { title: 'StoredMessageList', description: 'One page of what was asked.' },
);

export const StoredChatUpdate = Type.Object(
  { metadata: nullable(Metadata) },
  {
    title: 'StoredChatUpdate',
    description: 'What a stored chat shall have instead.',
    examples: [{ metadata: { topic: 'demo' } }],
  },
);

export const DeletedChat = Type.Object(
  { id: Type.String(), object: Type.Literal('chat.completion.deleted'), deleted: Type.Literal(true) },
  { title: 'DeletedChat', description: 'The chat is gone.' },
);
