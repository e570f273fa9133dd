/**
 * CORS, only where the owner of the gateway named origins: their pages may send what SDKs send and read what SDKs read.
 * Cookies play no part here, so no credentials are allowed.
 */
import cors from '@fastify/cors';
import fastifyPlugin from 'fastify-plugin';

/** How long a browser may remember the permission; Chromium's own bound is two hours. */
const preflightAgeS = 7200;

/** What answers tell in headers, beyond those that browsers show anyway. */
const exposedHeaders = [
  'x-request-id',
  'openai-processing-ms',
  'retry-after',
  'retry-after-ms',
  'x-should-retry',
  ...['limit', 'remaining', 'reset'].flatMap((figure) =>
    ['requests', 'tokens'].map((unit) => `x-ratelimit-${figure}-${unit}`),
  ),
];

export interface CrossOriginOptions {
  /** Origins, or `*` for any. */
  readonly origins: readonly string[];
}

export const crossOrigin = fastifyPlugin<CrossOriginOptions>(
  async (app, { origins }) => {
    await app.register(cors, {
      origin: origins.includes('*') ? '*' : [...origins],
      methods: ['GET', 'HEAD', 'POST', 'DELETE'],
      exposedHeaders,
      maxAge: preflightAgeS,
      strictPreflight: true,
    });
  },
  { name: 'cross-origin' },
);
