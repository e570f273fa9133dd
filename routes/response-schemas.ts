/**
 * Bodies of the Responses API, once: validator, static type and openapi.yaml come from these
 * objects. Items are open objects here; response-items.ts reads them and names what it cannot use.
 */
import { type Static, Type } from 'typebox';
import type { ResponseObject } from '../src/responses/response-object.ts';
import { responseToolFields, structuredOutputs, TextFormat } from './response-tools.ts';
import { optional, samplingFields, tokensMax } from './sampling-fields.ts';
import { ChatRequest, Metadata, MetricsBody } from './schemas.ts';

/** Ids are ours and short; a longer one is none. */
export const idCharsMax = 128;
/** Far above what a chat has; the body's own limit is met first by any real text. */
const itemsMax = 10_000;

/** As a step of a URL. */
export const idOf = (what: string) =>
  Type.String({ minLength: 1, maxLength: idCharsMax, description: `Id of the ${what}.` });

const Id = Type.String({ minLength: 1, maxLength: idCharsMax });

export const nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) =>
  Type.Union([schema, Type.Null()]);

const ContentPart = Type.Object(
  {
    type: Type.String({
      description: '`input_text`, `output_text`, `refusal`; images and files are refused.',
    }),
    text: Type.Optional(Type.String()),
    refusal: Type.Optional(Type.String()),
  },
  { title: 'InputPart', description: 'A part of the content of an item.' },
);

const Content = Type.Union([Type.String(), Type.Array(ContentPart)]);

export const InputItemBody = Type.Object(
  {
    type: Type.Optional(Type.String({ description: 'Default `message`.' })),
    id: Type.Optional(nullable(Type.String({ maxLength: idCharsMax }))),
    role: Type.Optional(Type.Enum(['user', 'assistant', 'system', 'developer'])),
    content: Type.Optional(nullable(Content)),
    summary: Type.Optional(nullable(Type.Array(ContentPart))),
    encrypted_content: Type.Optional(nullable(Type.String())),
    call_id: Type.Optional(Type.String({ maxLength: idCharsMax })),
    name: Type.Optional(Type.String({ maxLength: idCharsMax })),
    arguments: Type.Optional(Type.String()),
    output: Type.Optional(Content),
  },
  {
    title: 'InputItem',
    description:
      'A message, a call or its output, a reasoning or compaction item, or a reference to an item that is stored.',
  },
);

export type InputItemBody = Static<typeof InputItemBody>;
export type InputContentBody = Static<typeof Content>;

const Input = Type.Union([Type.String(), Type.Array(InputItemBody, { maxItems: itemsMax })]);

export type InputBody = Static<typeof Input>;

const TextConfig = Type.Object({
  format: optional(TextFormat, 'The form of the answer. Default text.'),
  verbosity: optional(Type.Enum(['low', 'medium', 'high']), 'Told back; has no effect.'),
});

const Reasoning = Type.Object({
  effort: Type.Optional(nullable(Type.String({ maxLength: 32 }))),
  summary: Type.Optional(nullable(Type.String({ maxLength: 32 }))),
});

const ConversationRef = Type.Union([Id, Type.Object({ id: Id })]);

const { n: _oneChoiceOnly, ...sampling } = samplingFields;
const { safety_identifier, prompt_cache_key, service_tier, user, prediction } = ChatRequest.properties;

/** What says which conversation the model sees: shared by all that read one. */
const contextFields = {
  model: Type.String({ minLength: 1 }),
  input: optional(Input, 'Text of the user, or items. Default none.'),
  instructions: optional(Type.String(), 'What the system says; holds for this response only.'),
  previous_response_id: optional(Id, 'Response to go on from.'),
};

export const ResponseRequest = Type.Object(
  {
    ...contextFields,
    conversation: optional(ConversationRef, 'Conversation to go on with; input and output are added to it.'),
    stream: optional(Type.Boolean(), 'Server-sent events. Default false.'),
    stream_options: optional(
      Type.Object({ include_obfuscation: Type.Optional(Type.Boolean()) }),
      'Accepted; events are not padded.',
    ),
    background: optional(Type.Boolean(), 'Answers at once, and goes on without the client. Needs store.'),
    store: optional(Type.Boolean(), 'Keep the response for later. Default true.'),
    include: optional(
      Type.Array(Type.String({ maxLength: 64 }), { maxItems: 16 }),
      '`message.output_text.logprobs`; the others are about what is not served here.',
    ),
    text: optional(TextConfig, 'Form of the answer.'),
    reasoning: optional(Reasoning, 'Told back; the model does not reason.'),
    ...responseToolFields,
    structured_outputs: structuredOutputs,
    max_output_tokens: optional(
      Type.Integer({ minimum: 1, maximum: tokensMax }),
      'Most output tokens. Default: up to the end of the context.',
    ),
    max_tool_calls: optional(Type.Integer({ minimum: 1 }), 'Told back; there are no built-in tools.'),
    top_logprobs: optional(
      Type.Integer({ minimum: 0, maximum: 20 }),
      'Log-probabilities of the tokens, with so many of the likeliest.',
    ),
    truncation: optional(
      Type.Enum(['auto', 'disabled']),
      'auto: the oldest turns are left out when all do not fit. Default disabled.',
    ),
    metadata: optional(Metadata, 'Notes of the client, kept with the response.'),
    safety_identifier,
    prompt_cache_key,
    service_tier,
    user,
    prediction,
    ...sampling,
  },
  {
    title: 'ResponseRequest',
    description:
      'An input to answer. Other fields of OpenAI are ignored, or refused where they would change the answer.',
    examples: [
      { model: 'smollm2-135m-instruct', input: 'Why is the sky blue?', max_output_tokens: 100 },
      {
        model: 'smollm2-135m-instruct',
        input: [{ role: 'user', content: 'And at night?' }],
        previous_response_id: 'resp_0123456789abcdef',
        stream: true,
      },
    ],
  },
);

export type ResponseRequestBody = Static<typeof ResponseRequest>;

export const InputTokensRequest = Type.Object(
  {
    ...contextFields,
    conversation: ResponseRequest.properties.conversation,
    text: ResponseRequest.properties.text,
    reasoning: ResponseRequest.properties.reasoning,
    ...responseToolFields,
    truncation: ResponseRequest.properties.truncation,
  },
  {
    title: 'InputTokensRequest',
    description: 'What would be sent.',
    examples: [{ model: 'smollm2-135m-instruct', input: 'Why is the sky blue?' }],
  },
);

export const CompactRequest = Type.Object(contextFields, {
  title: 'CompactRequest',
  description: 'A conversation to summarise.',
  examples: [{ model: 'smollm2-135m-instruct', previous_response_id: 'resp_0123456789abcdef' }],
});

export const InputTokens = Type.Object(
  {
    object: Type.Literal('response.input_tokens'),
    input_tokens: Type.Integer(),
  },
  { title: 'InputTokens', description: 'The count.' },
);

export const ItemBody = Type.Object(
  { id: Type.String(), type: Type.String() },
  { title: 'Item', description: 'An item; its further fields are those of its type, as at OpenAI.' },
);

const ResponseUsageBody = Type.Object(
  {
    input_tokens: Type.Integer(),
    input_tokens_details: Type.Object({ cached_tokens: Type.Integer(), cache_write_tokens: Type.Integer() }),
    output_tokens: Type.Integer(),
    output_tokens_details: Type.Object({ reasoning_tokens: Type.Integer() }),
    total_tokens: Type.Integer(),
  },
  { title: 'ResponseUsage', description: 'Tokens of input and output.' },
);

export const ResponseShape = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal('response'),
    created_at: Type.Integer({ description: 'Seconds since 1970.' }),
    completed_at: nullable(Type.Integer()),
    status: Type.Enum(['queued', 'in_progress', 'completed', 'incomplete', 'failed', 'cancelled']),
    error: nullable(Type.Object({ code: Type.String(), message: Type.String() })),
    incomplete_details: nullable(Type.Object({ reason: Type.String() })),
    model: Type.String(),
    output: Type.Array(ItemBody),
    usage: nullable(ResponseUsageBody),
    instructions: nullable(Type.String()),
    previous_response_id: nullable(Type.String()),
    conversation: nullable(Type.Object({ id: Type.String() })),
    background: Type.Boolean(),
    store: Type.Boolean(),
    max_output_tokens: nullable(Type.Integer()),
    max_tool_calls: nullable(Type.Integer()),
    temperature: Type.Number(),
    top_p: Type.Number(),
    top_logprobs: Type.Integer(),
    presence_penalty: Type.Number(),
    frequency_penalty: Type.Number(),
    truncation: Type.Enum(['auto', 'disabled']),
    parallel_tool_calls: Type.Boolean(),
    tool_choice: Type.Unknown(),
    tools: Type.Array(Type.Unknown()),
    text: Type.Object({ format: Type.Object({ type: Type.String() }), verbosity: Type.String() }),
    reasoning: Type.Object({ effort: nullable(Type.String()), summary: nullable(Type.String()) }),
    service_tier: Type.String(),
    metadata: Metadata,
    safety_identifier: nullable(Type.String()),
    prompt_cache_key: nullable(Type.String()),
    user: nullable(Type.String()),
    access_programs: Type.Null(),
    prompt: Type.Null(),
    metrics: Type.Optional(MetricsBody),
  },
  { title: 'Response', description: 'A response, every key there.' },
);

/** The domain's own type; tests hold answers against the shape. */
export const ResponseBody = Type.Unsafe<ResponseObject>(ResponseShape);

export const ResponseEventBody = Type.Object(
  { type: Type.String(), sequence_number: Type.Integer() },
  {
    title: 'ResponseEvent',
    description: 'An event; its further fields are those of its type, as at OpenAI.',
  },
);

export const DeletedResponse = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal('response'),
    deleted: Type.Literal(true),
  },
  { title: 'DeletedResponse', description: 'The response is gone.' },
);

export const CompactedBody = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal('response.compaction'),
    created_at: Type.Integer(),
    output: Type.Array(ItemBody),
    usage: ResponseUsageBody,
  },
  { title: 'Compaction', description: 'What stands for the conversation.' },
);

/** Query strings are text. */
export const RetrieveQuery = Type.Object({
  stream: Type.Optional(Type.Enum(['true', 'false'], { description: 'The events instead of the response.' })),
  starting_after: Type.Optional(
    Type.String({ pattern: '^[0-9]{1,9}$', description: 'Only events with a greater sequence_number.' }),
  ),
});
