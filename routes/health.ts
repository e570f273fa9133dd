/**
 * `/health/live`: the process answers. `/health/ready`: it can answer a chat, else 503. `/metrics`: Prometheus text.
 */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { GatewayError, gatewayErrorCodes } from '../src/errors.ts';
import type { Metrics } from '../src/metrics.ts';
import { Health, type HealthBody } from './schemas.ts';

export interface Readiness {
  readonly state: 'ready' | 'loading' | 'draining';
  /** What is being waited for, for people: "packing layers 0-15". */
  readonly detail: string | null;
}

export interface HealthOptions {
  readonly readiness: () => Readiness;
  readonly metrics: Metrics;
}

export async function healthRoutes(
  app: FastifyInstance,
  { readiness, metrics }: HealthOptions,
): Promise<void> {
  const routes = app.withTypeProvider<TypeBoxTypeProvider>();
  const tags = ['health'];
  routes.get(
    '/health/live',
    {
      config: { access: 'open' },
      schema: { operationId: 'getLiveness', summary: 'The process lives', tags, response: { 200: Health } },
    },
    async (): Promise<HealthBody> => ({ status: 'live', detail: null }),
  );
  routes.get(
    '/health/ready',
    {
      config: { access: 'open' },
      schema: {
        operationId: 'getReadiness',
        summary: 'Chats are answered',
        tags,
        response: { 200: Health, 503: Health },
      },
    },
    async (_request, reply): Promise<HealthBody> => {
      const { state, detail } = readiness();
      if (state !== 'ready') {
        reply.code(503).header('retry-after', gatewayErrorCodes.model_loading.retryAfterS);
      }
      return { status: state, detail };
    },
  );
  routes.get(
    '/metrics',
    {
      config: { access: 'admin' },
      schema: {
        operationId: 'getMetrics',
        summary: 'Prometheus metrics',
        tags,
        response: { 200: { content: { 'text/plain': { schema: Type.String() } } } },
      },
    },
    async (_request, reply) => {
      reply.type(metrics.contentType);
      return await metrics.render();
    },
  );
}

/** Throws model_loading or draining. */
export function requireReady({ state, detail }: Readiness): void {
  if (state === 'ready') return;
  if (state === 'draining') throw new GatewayError('draining', 'The gateway is shutting down.');
  const progress = detail === null ? '' : ` (${detail})`;
  throw new GatewayError(
    'model_loading',
    `The model is not ready yet${progress}. Send the request again shortly.`,
  );
}
