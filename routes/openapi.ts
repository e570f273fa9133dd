/** The OpenAPI document, from the routes' own schemas: scripts/openapi.ts writes openapi.yaml, reference.ts serves it. */
import swagger from '@fastify/swagger';
import fastifyPlugin from 'fastify-plugin';

const tags = ['chat', 'completions', 'responses', 'conversations', 'models', 'tokens', 'health'];

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
        tags: tags.map((name) => ({ name })),
        components: {
          securitySchemes: {
            key: { type: 'http', scheme: 'bearer', description: 'An API key, where the gateway has any.' },
            adminKey: { type: 'http', scheme: 'bearer', description: 'FORETOKEN_ADMIN_KEY.' },
          },
        },
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
