/**
 * Without API keys only requests that name this machine are served: a page that resolves its own name to 127.0.0.1
 * (DNS rebinding) still sends that name as Host. CORS stays off, so a foreign page cannot read answers either, and
 * only JSON bodies are taken, so it cannot post without being asked first.
 */
import fastifyPlugin from 'fastify-plugin';
import { GatewayError } from '../src/errors.ts';
import { isLoopbackHost } from '../src/loopback.ts';

export interface HostGuardOptions {
  /** API keys protect the gateway, or nothing needs to. */
  readonly anyHost: boolean;
}

export const hostGuard = fastifyPlugin<HostGuardOptions>(
  async (app, { anyHost }) => {
    if (anyHost) return;
    app.addHook('onRequest', async ({ headers }) => {
      // HTTP/1.1 demands a Host and browsers always send one; a client of HTTP/1.0 is no browser.
      if (headers.host === undefined || isLoopbackHost(headers.host.replace(/:\d*$/, ''))) return;
      throw new GatewayError(
        'host_not_allowed',
        'Only requests to localhost are served. Use http://127.0.0.1, or set FORETOKEN_API_KEYS or FORETOKEN_ALLOW_PUBLIC=1.',
      );
    });
  },
  { name: 'host-guard' },
);
