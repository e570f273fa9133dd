/** One log line and one count per answer, by route pattern; a stream is an answer that ends late. */
import fastifyPlugin from 'fastify-plugin';
import type { Metrics } from '../src/metrics.ts';

export interface AccessLogOptions {
  readonly metrics: Metrics;
}

/** Polled every few seconds; their lines would hide the others. */
const quiet: ReadonlySet<string> = new Set(['/health/live', '/health/ready', '/metrics']);

export const accessLog = fastifyPlugin<AccessLogOptions>(
  async (app, { metrics }) => {
    app.addHook('onResponse', async (request, reply) => {
      const route = request.routeOptions.url ?? 'unknown';
      metrics.recordResponse(route, knownMethod(request.method), reply.raw.statusCode);
      if (quiet.has(route)) return;
      const fields = {
        method: request.method,
        route,
        status: reply.raw.statusCode,
        elapsedMs: Math.round(reply.elapsedTime),
        // The official SDKs say how often they have tried.
        retries: Number(request.headers['x-stainless-retry-count'] ?? 0) || 0,
      };
      request.log.info(fields, 'answered');
    });
  },
  { name: 'access-log' },
);

const knownMethods: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'OPTIONS',
]);
const knownMethod = (method: string): string => (knownMethods.has(method) ? method : 'other');
