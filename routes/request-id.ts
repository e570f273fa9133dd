/**
 * `x-request-id` and `openai-processing-ms` on every answer. A client's own id is kept if it is short and printable:
 * it goes into logs and back into a header.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { FastifyReply } from 'fastify';
import fastifyPlugin from 'fastify-plugin';

const saneId = /^[\w.:-]{1,128}$/;

export function requestIdOf({ headers }: Pick<IncomingMessage, 'headers'>): string {
  const given = headers['x-request-id'];
  return typeof given === 'string' && saneId.test(given) ? given : `req_${randomUUID().replaceAll('-', '')}`;
}

export function processingMs(reply: FastifyReply): string {
  return String(Math.round(reply.elapsedTime));
}

export const requestId = fastifyPlugin(
  async (app) => {
    app.addHook('onRequest', async (request, reply) => {
      reply.header('x-request-id', request.id);
    });
    app.addHook('onSend', async (_request, reply) => {
      reply.header('openai-processing-ms', processingMs(reply));
    });
  },
  { name: 'request-id' },
);
