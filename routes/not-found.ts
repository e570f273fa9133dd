/**
 * 404 and 405 before any body is read, naming what is served instead: most wrong URLs are a missing or doubled /v1.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import fastifyPlugin from 'fastify-plugin';
import { GatewayError } from '../src/errors.ts';

/** What clients ask for most that is not here → why. */
const notServed: readonly (readonly [string, string])[] = [
  ['/v1/embeddings', ' Models here answer in text; no model here makes embeddings.'],
];

export const notFound = fastifyPlugin(
  async (app) => {
    const served = new Map<string, Set<string>>();
    app.addHook('onRoute', ({ url, method, schema }) => {
      if (schema?.hide === true) return;
      const methods = served.get(url) ?? new Set();
      for (const name of [method].flat()) methods.add(name);
      served.set(url, methods);
    });
    app.addHook('onRequest', async (request, reply) => {
      if (request.is404) throw refuse(request, reply, served);
    });
    app.setNotFoundHandler((request, reply) => {
      throw refuse(request, reply, served);
    });
  },
  { name: 'not-found' },
);

function refuse(
  request: FastifyRequest,
  reply: FastifyReply,
  served: ReadonlyMap<string, ReadonlySet<string>>,
): GatewayError {
  const path = request.url.split('?')[0]!;
  const asked = `${request.method} ${path.slice(0, 200)}`;
  for (const [url, methods] of served) {
    if (!matches(url, path)) continue;
    const allowed = [...methods].join(', ');
    reply.header('allow', allowed);
    return new GatewayError('method_not_allowed', `${asked} is not served; allowed are: ${allowed}.`);
  }
  const all = [...served].map(
    ([url, methods]) => `${[...methods].filter((name) => name !== 'HEAD').join(', ')} ${url}`,
  );
  const why = notServed.find(([start]) => path.startsWith(start))?.[1] ?? '';
  return new GatewayError('unknown_url', `Unknown URL: ${asked}.${why} Served are: ${all.join('; ')}.`);
}

/** In a pattern `:name` stands for one step of the path, and a last `*` for at least one character. */
function matches(url: string, path: string): boolean {
  const steps = path.split('/');
  const pattern = url.split('/');
  return pattern.every((step, index) => {
    const given = steps[index] ?? '';
    if (step === '*') return given !== '';
    const isLast = index === pattern.length - 1;
    return (
      (step.startsWith(':') ? given !== '' : given === step) && (!isLast || steps.length === pattern.length)
    );
  });
}
