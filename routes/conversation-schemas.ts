/** Bodies of the Conversations API, once: validator, static type and openapi.yaml come from these objects. */
import { Type } from 'typebox';
import { InputItemBody, nullable } from './response-schemas.ts';
import { optional } from './sampling-fields.ts';
import { Metadata } from './schemas.ts';

/** OpenAI's own bound for one call. */
const conversationItemsMax = 20;

export const ConversationRequest = Type.Object(
  {
    items: optional(Type.Array(InputItemBody, { maxItems: conversationItemsMax }), 'Items to begin with.'),
    metadata: optional(Metadata, 'Notes of the client, kept with the conversation.'),
  },
  {
    title: 'ConversationRequest',
    description: 'A conversation to begin.',
    examples: [{ items: [{ role: 'user', content: 'Hello' }], metadata: { topic: 'demo' } }],
  },
);

export const ConversationUpdate = Type.Object(
  {
    metadata: nullable(Metadata),
  },
  {
    title: 'ConversationUpdate',
    description: 'What a conversation shall have instead.',
    examples: [{ metadata: { topic: 'demo' } }],
  },
);

export const ConversationItemsRequest = Type.Object(
  {
    items: Type.Array(InputItemBody, { minItems: 1, maxItems: conversationItemsMax }),
  },
  {
    title: 'ConversationItemsRequest',
    description: 'Items to add.',
    examples: [{ items: [{ role: 'user', content: 'And then?' }] }],
  },
);

export const ConversationBody = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal('conversation'),
    created_at: Type.Integer({ description: 'Seconds since 1970.' }),
    metadata: Metadata,
  },
  { title: 'Conversation', description: 'A conversation, without its items.' },
);

export const DeletedConversation = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal('conversation.deleted'),
    deleted: Type.Literal(true),
  },
  { title: 'DeletedConversation', description: 'The conversation is gone.' },
);
