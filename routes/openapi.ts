/** openapi.yaml from the routes' own schemas; scripts/openapi.ts writes it, nothing is served under a URL. */
import swagger from '@fastify/swagger';
import fastifyPlugin from 'fastify-plugin';

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
        tags: [
          { name: 'responses' },
          { name: 'conversations' },
          { name: 'chat' },
          { name: 'models' },
          { name: 'health' },
        ],
      },
      transform: ({ schema, url }) => ({
        // OpenAPI has no wildcard; the one that is served stands for a model's id.
        url: url.replace('*', '{model}'),
        schema: { ...schema, ...('params' in schema && { params: renamed(schema.params, '*', 'model') }) },
      }),
    });
  },
  { name: 'openapi' },
);

function renamed(params: unknown, from: string, to: string): unknown {
  return JSON.parse(JSON.stringify(params).replaceAll(JSON.stringify(from), JSON.stringify(to)));
}
