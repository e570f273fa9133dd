/**
 * Upgrades to WebSockets, for the one path that has them: any other request that offers an upgrade is answered as if it
 * did not, as Java's own client expects, which offers h2c on every plain request. To be registered before all other
 * hooks: a request that one of them refuses must still have its socket closed afterwards.
 */
import type { IncomingMessage } from 'node:http';
import websocket from '@fastify/websocket';
import fastifyPlugin from 'fastify-plugin';
import { bodyBytesMax } from './schemas.ts';

export const webSocketPath = '/v1/responses';

declare module 'fastify' {
  interface FastifyInstance {
    /** What ends a socket's work and then the socket, run when the app closes; the result takes it back. */
    onDrain(drain: () => Promise<void>): () => void;
  }
}

export const webSockets = fastifyPlugin(
  async (app) => {
    const drains = new Set<() => Promise<void>>();
    app.decorate('onDrain', (drain: () => Promise<void>) => {
      drains.add(drain);
      return () => drains.delete(drain);
    });
    await app.register(websocket, {
      options: { maxPayload: bodyBytesMax, perMessageDeflate: false },
      preClose(done) {
        Promise.all([...drains].map((drain) => drain())).then(() => done(), done);
      },
    });
    // The answer to an upgrade is written past all other hooks, and names its request all the same.
    const upgrades = new WeakMap<IncomingMessage, string>();
    app.addHook('onRequest', async ({ ws, raw, id }) => {
      if (ws) upgrades.set(raw, id);
    });
    app.websocketServer.on('headers', (headers: string[], raw: IncomingMessage) => {
      headers.push(`x-request-id: ${upgrades.get(raw)}`);
    });
  },
  { name: 'web-sockets' },
);

/** For http.createServer. */
export function shouldUpgrade({ method, url, headers }: IncomingMessage): boolean {
  const asked = headers.upgrade?.toLowerCase() === 'websocket';
  return asked && method === 'GET' && url?.split('?')[0] === webSocketPath;
}
