/**
 * Text and ids without an answer, as vLLM serves them: `/tokenize`, `/detokenize`; `/apply-template` as llama.cpp does.
 * What is counted here is exactly what the same body costs as a prompt.
 */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { GatewayError } from '../src/errors.ts';
import type { PromptEncoder } from '../src/prompt-encoder.ts';
import { readMessages } from './chat-request.ts';
import { type Readiness, requireReady } from './health.ts';
import { findModel, type ModelDirectory } from './models.ts';
import { optional, tokensMax } from './sampling-fields.ts';
import { ErrorBody, Message } from './schemas.ts';

const model = optional(Type.String({ minLength: 1 }), 'Default: the one that is served.');
const messages = Type.Array(Message, { minItems: 1 });

const TokenizeRequest = Type.Object(
  {
    model,
    prompt: optional(Type.String(), 'Text; names of control tokens in it are those tokens.'),
    messages: optional(messages, 'A chat instead of a prompt.'),
    add_special_tokens: optional(Type.Boolean(), 'Begin a text as the model wants it. Default true.'),
    return_token_strs: optional(
      Type.Boolean(),
      'Add the tokens as the vocabulary writes them. Default false.',
    ),
  },
  { title: 'TokenizeRequest', description: 'A prompt or a chat.', examples: [{ prompt: 'Hello' }] },
);

const TokenizeAnswer = Type.Object(
  {
    count: Type.Integer(),
    max_model_len: Type.Integer({ description: 'Longest prompt and answer together, in tokens.' }),
    tokens: Type.Array(Type.Integer()),
    token_strs: Type.Union([Type.Array(Type.String()), Type.Null()]),
  },
  { title: 'TokenList', description: 'What the same body costs as a prompt.' },
);

const DetokenizeRequest = Type.Object(
  {
    model,
    tokens: Type.Array(Type.Integer({ minimum: 0, maximum: tokensMax })),
  },
  { title: 'DetokenizeRequest', description: 'Token ids.', examples: [{ tokens: [28120] }] },
);

const TemplateRequest = Type.Object(
  { model, messages },
  {
    title: 'TemplateRequest',
    description: 'A chat.',
    examples: [{ messages: [{ role: 'user', content: 'Hello' }] }],
  },
);

const PromptAnswer = Type.Object({ prompt: Type.String() }, { title: 'PromptText', description: 'A text.' });

export interface TokenRoutesOptions {
  readonly prompts: () => PromptEncoder;
  readonly models: ModelDirectory;
  readonly readiness: () => Readiness;
}

export async function tokenRoutes(app: FastifyInstance, options: TokenRoutesOptions): Promise<void> {
  const routes = app.withTypeProvider<TypeBoxTypeProvider>();
  const tags = ['tokens'];

  /** Throws model_loading, model_not_found. */
  function promptsOf(name: string | null | undefined): PromptEncoder {
    requireReady(options.readiness());
    if (name != null) findModel(options.models, name);
    return options.prompts();
  }

  routes.post(
    '/tokenize',
    {
      schema: {
        operationId: 'tokenize',
        summary: 'Count and list the tokens of a prompt or a chat',
        tags,
        body: TokenizeRequest,
        response: { 200: TokenizeAnswer, '4xx': ErrorBody, '5xx': ErrorBody },
      },
    },
    async ({ body }): Promise<Static<typeof TokenizeAnswer>> => {
      const prompts = promptsOf(body.model);
      const ids = tokenize(body, prompts);
      return {
        count: ids.length,
        max_model_len: prompts.contextLength,
        tokens: ids,
        token_strs: body.return_token_strs === true ? ids.map(prompts.tokenName) : null,
      };
    },
  );
  routes.post(
    '/detokenize',
    {
      schema: {
        operationId: 'detokenize',
        summary: 'The text of tokens',
        tags,
        body: DetokenizeRequest,
        response: { 200: PromptAnswer, '4xx': ErrorBody, '5xx': ErrorBody },
      },
    },
    async ({ body }): Promise<Static<typeof PromptAnswer>> => {
      const prompts = promptsOf(body.model);
      prompts.checkIds(body.tokens, 'tokens');
      return { prompt: prompts.decode(body.tokens) };
    },
  );
  routes.post(
    '/apply-template',
    {
      schema: {
        operationId: 'applyTemplate',
        summary: 'The prompt that a chat becomes',
        tags,
        body: TemplateRequest,
        response: { 200: PromptAnswer, '4xx': ErrorBody, '5xx': ErrorBody },
      },
    },
    async ({ body }): Promise<Static<typeof PromptAnswer>> => {
      return { prompt: promptsOf(body.model).render(readMessages(body.messages)) };
    },
  );
}

function tokenize(body: Static<typeof TokenizeRequest>, prompts: PromptEncoder): number[] {
  if ((body.prompt == null) === (body.messages == null)) {
    throw new GatewayError('invalid_request', "Send either 'prompt' or 'messages'.", { param: 'prompt' });
  }
  if (body.messages != null) return prompts.encodeChat(readMessages(body.messages));
  return prompts.encodePrompt(body.prompt!, body.add_special_tokens ?? true);
}
