/**
 * Who may use a route, decided before any body is read. A route says so in its config: `open` to everybody, `key` (the
 * default) for holders of an API key where there are keys, `admin` for the admin key or, without one, this machine.
 * Requests that make work are counted against the key's limits and told of them in `x-ratelimit-*`.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import fastifyPlugin from 'fastify-plugin';
import { GatewayError } from '../src/errors.ts';
import { anonymousOwner, bearerOf, type KeyRing, type RateFigures } from '../src/key-ring.ts';
import { isLoopbackHost } from '../src/loopback.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    readonly access?: 'open' | 'key' | 'admin';
    /** A POST that only gives places back: it needs none, and is let through whatever the limits say. */
    readonly unlimited?: true;
  }
  interface FastifyRequest {
    /** Whose sessions, caches and drafts these are: the id of the key, or everybody. */
    owner: string;
    /** Gives back the place that this request holds in its key's parallel limit; null where it holds none. */
    leavePlace: (() => void) | null;
  }
  interface FastifyReply {
    /** Sets `x-ratelimit-*` to where the key stands now. */
    tellLimits: () => void;
  }
}

export interface AccessOptions {
  readonly keys: KeyRing;
  readonly adminKey: string | null;
}

export const access = fastifyPlugin<AccessOptions>(
  async (app, { keys, adminKey }) => {
    app.decorateRequest('owner', anonymousOwner);
    app.decorateRequest('leavePlace', null);
    app.decorateReply('tellLimits', () => {});
    app.addHook('onRequest', async (request, reply) => {
      const level = request.routeOptions.config.access ?? 'key';
      if (level === 'admin') requireAdmin(request, adminKey);
      if (level !== 'key') return;
      const account = keys.identify(request.headers.authorization);
      request.owner = account.owner;
      if (request.method !== 'POST' || request.routeOptions.config.unlimited === true) return;
      reply.tellLimits = () => {
        const { requests, tokens } = account.figures();
        tellLimit(reply, 'requests', requests);
        tellLimit(reply, 'tokens', tokens);
      };
      request.leavePlace = account.enter();
      reply.raw.once('close', () => request.leavePlace?.());
    });
    app.addHook('onSend', async (_request, reply) => {
      reply.tellLimits();
      // A client that does not know how to show its key is told (RFC 9110 §11.6.1).
      if (reply.statusCode === 401) reply.header('www-authenticate', 'Bearer');
    });
  },
  { name: 'access' },
);

/** The place as the caller's to give back, for work that outlives its request. */
export function takePlace(request: FastifyRequest): () => void {
  const leave = request.leavePlace ?? (() => {});
  request.leavePlace = null;
  return leave;
}

function tellLimit(reply: FastifyReply, unit: string, figures: RateFigures | null): void {
  if (figures === null) return;
  reply.header(`x-ratelimit-limit-${unit}`, String(figures.limit));
  reply.header(`x-ratelimit-remaining-${unit}`, String(figures.remaining));
  reply.header(`x-ratelimit-reset-${unit}`, durationOf(figures.resetMs));
}

/** As OpenAI writes it: `12ms`, `3.5s`, `6m0s`. */
function durationOf(ms: number): string {
  if (ms < 1000) return `${ms}ms`;
  const s = Math.ceil(ms / 100) / 10;
  return s < 60 ? `${s}s` : `${Math.floor(s / 60)}m${Math.floor(s % 60)}s`;
}

/** Without an admin key only this machine is trusted, and not what a proxy on it hands on. */
function requireAdmin({ headers, socket }: FastifyRequest, adminKey: string | null): void {
  if (adminKey === null) {
    const isForwarded = headers['x-forwarded-for'] !== undefined || headers['forwarded'] !== undefined;
    if (!isForwarded && isLoopbackHost(socket.remoteAddress ?? '')) return;
    throw new GatewayError(
      'access_denied',
      'Only this machine itself may read this. From elsewhere it needs FORETOKEN_ADMIN_KEY.',
    );
  }
  const presented = bearerOf(headers.authorization);
  if (presented !== null && isSame(presented, adminKey)) return;
  throw new GatewayError('invalid_api_key', 'This needs the admin key, as Authorization: Bearer KEY.');
}

/** Constant time, whatever the lengths. */
function isSame(a: string, b: string): boolean {
  const digest = (text: string): Uint8Array => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
