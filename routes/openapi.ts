/** The OpenAPI document, from the routes' own schemas: scripts/openapi.ts writes openapi.yaml, reference.ts serves it. */
import swagger from '@fastify/swagger';
import fastifyPlugin from 'fastify-plugin';
import { type ApiDocument, finishDocument } from './api-document.ts';

const tags = {
  chat: 'Chats, answered whole or as a stream.',
  completions: 'Texts that are gone on with.',
  responses: 'Answers that are kept, gone on from, made in the background or over a WebSocket.',
  conversations: 'What was said, kept under one id.',
  models: 'What is served.',
  tokens: 'Text to token ids and back.',
  health: 'How the gateway is, and what it is.',
};

const securityOf = { open: [], key: [{ key: [] }], admin: [{ adminKey: [] }] };

export const openapi = fastifyPlugin(
  async (app) => {
    await app.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'Foretoken',
          description:
            "OpenAI-compatible inference over a model cut into shards. Fields of OpenAI's API that are not " +
            'listed are ignored where they cannot change the answer, and refused with their name where they would.',
          version: '1',
          license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
        },
        servers: [{ url: 'http://127.0.0.1:8000' }],
        tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
        components: {
          securitySchemes: {
            key: { type: 'http', scheme: 'bearer', description: 'An API key, where the gateway has any.' },
            adminKey: { type: 'http', scheme: 'bearer', description: 'FORETOKEN_ADMIN_KEY.' },
          },
        },
      },
      transformObject: (made) => {
        if (!('openapiObject' in made)) throw new Error('the document is none of OpenAPI 3');
        // Through JSON: what is left is the document alone.
        const plain = JSON.parse(JSON.stringify(made.openapiObject)) as typeof made.openapiObject;
        return finishDocument(plain as ApiDocument) as typeof plain;
      },
      transform: ({ schema, url, route }) => ({
        // OpenAPI has no wildcard; the one that is served stands for a model's id.
        url: url.replace('*', '{model}'),
        schema: {
          ...schema,
          ...('params' in schema && { params: renamed(schema.params, '*', 'model') }),
          security: securityOf[route.config?.access ?? 'key'],
        },
      }),
    });
  },
  { name: 'openapi' },
);

function renamed(params: unknown, from: string, to: string): unknown {
  return JSON.parse(JSON.stringify(params).replaceAll(JSON.stringify(from), JSON.stringify(to)));
}
