/** Bodies of `POST /v1/completions`: the older endpoint, which takes a prompt as it is. */
import { type Static, Type } from 'typebox';
import { optional, samplingFields, tokensMax } from './sampling-fields.ts';
import { MetricsBody, UsageBody } from './schemas.ts';

/** Prompts of one request; they are answered a few at a time. */
const promptsMax = 128;
/** Choices of which the best are returned. */
const bestOfMax = 16;
/** OpenAI's own bound. */
const logprobsMax = 5;
/** What a client may tell of its user. */
const identifierCharsMax = 512;

const Ids = Type.Array(Type.Integer({ minimum: 0, maximum: tokensMax }), { minItems: 1 });

export const TextRequest = Type.Object(
  {
    model: Type.String({ minLength: 1 }),
    prompt: optional(
      Type.Union([
        Type.String(),
        Type.Array(Type.String(), { minItems: 1, maxItems: promptsMax }),
        Ids,
        Type.Array(Ids, { minItems: 1, maxItems: promptsMax }),
      ]),
      'Text or token ids, or several of one kind. Names of control tokens in a text are those tokens. Default: the start of a document.',
    ),
    max_tokens: optional(
      Type.Integer({ minimum: 0, maximum: tokensMax }),
      'Most output tokens. Default 16. With 0 the prompt alone is read.',
    ),
    ...samplingFields,
    best_of: optional(
      Type.Integer({ minimum: 1, maximum: bestOfMax }),
      'Choices to make, of which the n likeliest per token are returned. Default n. Not with stream.',
    ),
    echo: optional(Type.Boolean(), 'Begin with the prompt. Default false.'),
    logprobs: optional(
      Type.Integer({ minimum: 0, maximum: logprobsMax }),
      'Log-probabilities of the tokens and of so many alternatives; with echo of the prompt too.',
    ),
    stream: optional(Type.Boolean(), 'Server-sent events. Default false.'),
    stream_options: optional(
      Type.Object({
        include_usage: optional(Type.Boolean(), 'One more chunk with the usage of the whole answer.'),
      }),
      'Only with stream.',
    ),
    prediction: optional(
      Type.Object({ type: Type.Literal('content'), content: Type.String() }),
      'Extension: text that is expected somewhere in the answer; it is drafted from, and never changes the answer.',
    ),
    return_token_ids: optional(
      Type.Boolean(),
      'Extension: adds `prompt_token_ids` and `token_ids` to choices.',
    ),
    user: optional(Type.String({ maxLength: identifierCharsMax }), 'Accepted; not used.'),
  },
  {
    title: 'CompletionRequest',
    description:
      'Prompts to go on with. Other fields are ignored, or refused where they would change the answer.',
    examples: [{ model: 'smollm2-135m-instruct', prompt: 'Once upon a time', max_tokens: 32 }],
  },
);

export type TextRequestBody = Static<typeof TextRequest>;

const TextLogprobs = Type.Object(
  {
    tokens: Type.Array(Type.String()),
    token_logprobs: Type.Array(Type.Union([Type.Number(), Type.Null()])),
    top_logprobs: Type.Array(Type.Union([Type.Record(Type.String(), Type.Number()), Type.Null()])),
    text_offset: Type.Array(Type.Integer({ description: 'In code points.' })),
  },
  { title: 'CompletionLogprobs', description: 'Log-probabilities as parallel lists.' },
);

export type TextLogprobsBody = Static<typeof TextLogprobs>;

const head = {
  id: Type.String(),
  object: Type.Literal('text_completion'),
  created: Type.Integer({ description: 'Seconds since 1970.' }),
  model: Type.String(),
  system_fingerprint: Type.String({ description: 'Changes when a logit of the model may.' }),
};

const choice = {
  index: Type.Integer({ description: 'Choice c of prompt p is p · n + c.' }),
  text: Type.String(),
  logprobs: Type.Union([TextLogprobs, Type.Null()]),
  token_ids: Type.Optional(Type.Array(Type.Integer())),
  prompt_token_ids: Type.Optional(Type.Array(Type.Integer())),
  metrics: Type.Optional(MetricsBody),
};

export const TextCompletion = Type.Object(
  {
    ...head,
    choices: Type.Array(Type.Object({ ...choice, finish_reason: Type.Enum(['stop', 'length']) })),
    usage: UsageBody,
  },
  { title: 'Completion', description: 'Prompts gone on with.' },
);

export type TextCompletionBody = Static<typeof TextCompletion>;

export const TextChunk = Type.Object(
  {
    ...head,
    choices: Type.Array(
      Type.Object({ ...choice, finish_reason: Type.Union([Type.Enum(['stop', 'length']), Type.Null()]) }),
    ),
    usage: Type.Optional(Type.Union([UsageBody, Type.Null()])),
  },
  { title: 'CompletionChunk', description: 'A piece of a streamed completion.' },
);

export type TextChunkBody = Static<typeof TextChunk>;
