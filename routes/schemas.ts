/**
 * Bodies of requests and answers, once: validator, static type and openapi.yaml come from these objects. A field that
 * is not listed here is decided in unserved-parameters.ts. Nullable means "as if it were not sent", as at OpenAI.
 */
import { type Static, Type } from 'typebox';
import { ChatLogprobs, chatLogprobFields } from './chat-logprobs.ts';
import { formatFields } from './format-fields.ts';
import { optional, samplingFields, tokensMax } from './sampling-fields.ts';
import { toolFields } from './tool-fields.ts';

/** 128 k tokens of text and a prediction as long, JSON-escaped. */
export const bodyBytesMax = 4 * 2 ** 20;

const ContentPart = Type.Object(
  { type: Type.String(), text: Type.Optional(Type.String()), refusal: Type.Optional(Type.String()) },
  { title: 'ContentPart', description: 'A part of type `text`; other types are refused.' },
);

const Content = Type.Union([Type.String(), Type.Array(ContentPart)]);

const ToolCall = Type.Object(
  {
    id: Type.String(),
    type: Type.Literal('function'),
    function: Type.Object({
      name: Type.String(),
      arguments: Type.String({ description: 'JSON text.' }),
    }),
  },
  { title: 'ToolCall', description: 'A call of a function.' },
);

export const Message = Type.Object(
  {
    role: Type.Enum(['developer', 'system', 'user', 'assistant', 'tool', 'function'], {
      description: '`developer` is `system`. `function` is refused; use `tool`.',
    }),
    content: Type.Optional(Type.Union([Content, Type.Null()])),
    tool_calls: optional(Type.Array(ToolCall), "An assistant's calls."),
    tool_call_id: optional(Type.String(), 'Which call a `tool` message answers.'),
  },
  { title: 'ChatMessage', description: 'One message of a chat.' },
);

export type MessageBody = Static<typeof Message>;
export type ContentBody = Static<typeof Content>;

/** OpenAI's bounds of what a client may note on a request. */
const metadataPairsMax = 16;
const metadataKeyCharsMax = 64;
const metadataValueCharsMax = 512;
const identifierCharsMax = 512;

export const Metadata = Type.Record(Type.String(), Type.String({ maxLength: metadataValueCharsMax }), {
  maxProperties: metadataPairsMax,
  propertyNames: { maxLength: metadataKeyCharsMax },
  title: 'Metadata',
  description: `At most ${metadataPairsMax} pairs of ${metadataKeyCharsMax} and ${metadataValueCharsMax} characters.`,
});

export const ChatRequest = Type.Object(
  {
    messages: Type.Array(Message, { minItems: 1 }),
    model: Type.String({ minLength: 1 }),
    max_completion_tokens: optional(
      Type.Integer({ minimum: 1, maximum: tokensMax }),
      'Most output tokens. Default: up to the end of the context.',
    ),
    max_tokens: optional(
      Type.Integer({ minimum: 1, maximum: tokensMax }),
      'Older name of max_completion_tokens, which wins.',
    ),
    ...samplingFields,
    ...chatLogprobFields,
    ...formatFields,
    ...toolFields,
    stream: optional(Type.Boolean(), 'Server-sent events. Default false.'),
    stream_options: optional(
      Type.Object({
        include_usage: optional(Type.Boolean(), 'One more chunk with the usage of the whole answer.'),
      }),
      'Only with stream.',
    ),
    prediction: optional(
      Type.Object({ type: Type.Literal('content'), content: Content }),
      'Text that is expected somewhere in the answer; it is drafted from, and never changes the answer.',
    ),
    return_token_ids: optional(Type.Boolean(), 'Extension: adds `prompt_token_ids` and `token_ids`.'),
    metadata: optional(Metadata, 'Notes of the client, kept with the answer if that is stored.'),
    store: optional(Type.Boolean(), 'Keep the answer for later. Default false.'),
    user: optional(Type.String({ maxLength: identifierCharsMax }), 'Accepted; not used.'),
    safety_identifier: optional(Type.String({ maxLength: identifierCharsMax }), 'Accepted; not used.'),
    prompt_cache_key: optional(Type.String({ maxLength: identifierCharsMax }), 'Accepted; not used.'),
    service_tier: optional(
      Type.Enum(['auto', 'default', 'flex', 'scale', 'priority', 'fast']),
      'There is one tier; the answer says `default`.',
    ),
    reasoning_effort: optional(
      Type.Enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max']),
      'Only `none`: the model answers without reasoning.',
    ),
  },
  {
    title: 'ChatRequest',
    description:
      'A chat to answer. Other fields of OpenAI are ignored, or refused where they would change the answer.',
    examples: [
      {
        model: 'smollm2-135m-instruct',
        messages: [{ role: 'user', content: 'Why is the sky blue?' }],
        max_completion_tokens: 100,
      },
    ],
  },
);

export type ChatRequestBody = Static<typeof ChatRequest>;

export const UsageBody = Type.Object(
  {
    prompt_tokens: Type.Integer(),
    completion_tokens: Type.Integer({ description: 'Output tokens, and rejected prediction tokens.' }),
    total_tokens: Type.Integer(),
    prompt_tokens_details: Type.Object({ cached_tokens: Type.Integer() }),
    completion_tokens_details: Type.Object({
      reasoning_tokens: Type.Integer(),
      accepted_prediction_tokens: Type.Integer(),
      rejected_prediction_tokens: Type.Integer(),
    }),
  },
  { title: 'Usage', description: 'Tokens of prompt and answer.' },
);

export type UsageBody = Static<typeof UsageBody>;

export const MetricsBody = Type.Object(
  {
    seed: Type.Union([Type.Integer(), Type.String()], {
      description: 'The seed that was used; a string of digits where a JSON number is not exact.',
    }),
    time_to_first_token_ms: Type.Number(),
    generation_ms: Type.Number(),
    queue_ms: Type.Number(),
    latency_ms: Type.Number({ description: 'From the place in the queue to the last token.' }),
    predicted_latency_ms: Type.Number({
      description:
        'The same as the latency model told it: queue and prefill when they began, each draft and round when it left.',
    }),
    tokens_per_second: Type.Number({ description: 'Output tokens after the first.' }),
    rounds: Type.Integer(),
    drafted_tokens: Type.Integer(),
    accepted_tokens: Type.Integer(),
    mean_accepted_length: Type.Number({ description: 'Tokens committed per round.' }),
    acceptance_per_position: Type.Array(Type.Number()),
    link_bytes_per_token: Type.Number({ description: "On the gateway's links to shards." }),
    link_ms: Type.Number(),
    compute_ms: Type.Number(),
    draft_ms: Type.Number(),
    drafters: Type.Record(Type.String(), Type.Number()),
    prepared_hits: Type.Integer({
      description: 'Drafts written, or begun, while the round before them was under way.',
    }),
    prepared_misses: Type.Integer({ description: 'Drafts of outcomes that nothing was written for.' }),
    verification: Type.Optional(
      Type.Object({
        mode: Type.Enum(['coupled', 'rejection', 'adaptive']),
        lossless: Type.Boolean({ description: "Does the text follow the model's own law exactly?" }),
        tau: Type.Optional(Type.Number()),
        judged_tokens: Type.Optional(
          Type.Integer({ description: 'Draft tokens that adaptive verification saw.' }),
        ),
        kept_mismatches: Type.Optional(
          Type.Integer({ description: 'Of them those that stand though the model would have said another.' }),
        ),
        distortion: Type.Optional(
          Type.Number({
            description:
              "Sum of tau times the total variation between draft and model: bounds how far the text's law may lie from the model's.",
          }),
        ),
      }),
    ),
  },
  {
    title: 'Metrics',
    description: 'Extension: what the answer cost and gained; sent when the request had `speculation`.',
  },
);

export type MetricsBody = Static<typeof MetricsBody>;

const FinishReason = Type.Enum(['stop', 'length', 'tool_calls']);
const ServiceTier = Type.Optional(Type.Literal('default'));
const TokenIds = Type.Optional(Type.Array(Type.Integer()));

const ChatChoice = Type.Object(
  {
    index: Type.Integer(),
    message: Type.Object({
      role: Type.Literal('assistant'),
      content: Type.Union([Type.String(), Type.Null()]),
      refusal: Type.Null(),
      tool_calls: Type.Optional(Type.Array(ToolCall)),
    }),
    logprobs: ChatLogprobs,
    finish_reason: FinishReason,
    token_ids: TokenIds,
    metrics: Type.Optional(MetricsBody),
  },
  { title: 'ChatChoice', description: 'One of the answers.' },
);

export const ChatCompletion = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal('chat.completion'),
    created: Type.Integer({ description: 'Seconds since 1970.' }),
    model: Type.String(),
    system_fingerprint: Type.String({ description: 'Changes when a logit of the model may.' }),
    choices: Type.Array(ChatChoice),
    usage: UsageBody,
    service_tier: ServiceTier,
    prompt_token_ids: TokenIds,
    metrics: Type.Optional(MetricsBody),
  },
  { title: 'ChatCompletion', description: 'The answer to a chat.' },
);

export type ChatCompletionBody = Static<typeof ChatCompletion>;

export const ChatChunk = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal('chat.completion.chunk'),
    created: Type.Integer(),
    model: Type.String(),
    system_fingerprint: Type.String(),
    choices: Type.Array(
      Type.Object({
        index: Type.Integer(),
        delta: Type.Object({
          role: Type.Optional(Type.Literal('assistant')),
          content: Type.Optional(Type.String()),
          tool_calls: Type.Optional(
            Type.Array(
              Type.Object({
                index: Type.Integer(),
                id: Type.Optional(Type.String()),
                type: Type.Optional(Type.Literal('function')),
                function: Type.Object({
                  name: Type.Optional(Type.String()),
                  arguments: Type.String(),
                }),
              }),
            ),
          ),
        }),
        logprobs: ChatLogprobs,
        finish_reason: Type.Union([FinishReason, Type.Null()]),
        token_ids: TokenIds,
        metrics: Type.Optional(MetricsBody),
      }),
    ),
    service_tier: ServiceTier,
    prompt_token_ids: TokenIds,
    usage: Type.Optional(Type.Union([UsageBody, Type.Null()])),
    metrics: Type.Optional(MetricsBody),
  },
  { title: 'ChatChunk', description: 'A piece of a streamed answer.' },
);

export type ChatChunkBody = Static<typeof ChatChunk>;

export const ModelBody = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal('model'),
    created: Type.Integer(),
    owned_by: Type.String(),
    max_model_len: Type.Integer({ description: 'Extension: longest prompt and answer together, in tokens.' }),
  },
  { title: 'Model', description: 'A model that is served.' },
);

export type ModelBody = Static<typeof ModelBody>;

export const ModelList = Type.Object(
  { object: Type.Literal('list'), data: Type.Array(ModelBody) },
  { title: 'ModelList', description: 'All models that are served.' },
);

export const Health = Type.Object(
  {
    status: Type.Enum(['live', 'ready', 'loading', 'draining']),
    detail: Type.Union([Type.String(), Type.Null()], { description: 'What is waited for.' }),
  },
  { title: 'Health', description: 'How the gateway is.' },
);

export type HealthBody = Static<typeof Health>;

export const ErrorBody = Type.Object(
  {
    error: Type.Object({
      message: Type.String({ description: 'What is wrong and what to do, for people.' }),
      type: Type.String({ description: "OpenAI's class of error." }),
      param: Type.Union([Type.String(), Type.Null()], { description: 'The field that is to blame.' }),
      code: Type.Union([Type.String(), Type.Null()], { description: 'What is wrong, for programs.' }),
    }),
  },
  { title: 'Error', description: 'What went wrong, in the shape that SDKs read.' },
);
