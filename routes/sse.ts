/**
 * Server-sent events on one reply (WHATWG HTML §9.2), as OpenAI's SDKs read them: headers at once, `data:` lines of
 * JSON, comment lines while nothing else is said, `[DONE]` at a good end and only there. At most one write is on its
 * way: `send` resolves when the socket takes more, so a slow reader slows only its own answer.
 */
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { FastifyReply } from 'fastify';
import { type GatewayError, openAiErrorBody } from '../src/errors.ts';
import { processingMs } from './request-id.ts';

/** Below the 60 s after which common proxies cut a silent connection, with room for two lost beats. */
export const heartbeatIntervalMs = 15_000;
/** A reader that takes nothing for so long has left without saying so; it holds a cache on every worker. */
export const stalledReaderMsMax = 60_000;

export interface EventStreamLimits {
  readonly heartbeatIntervalMs: number;
  readonly stalledReaderMsMax: number;
}

export interface EventStream {
  /** One event per body, all in one write. Resolves when the socket takes more, or is gone. */
  send(bodies: readonly unknown[]): Promise<void>;
  /** The last bodies, `[DONE]`, and the end of the response. */
  finish(bodies: readonly unknown[]): void;
  /** Says what went wrong and ends the response without `[DONE]`. */
  fail(error: GatewayError): void;
}

/** How a body becomes an event. JSON never holds a raw line break, so one line is one event. */
export const dataLine = (body: unknown): string => `data: ${JSON.stringify(body)}\n\n`;

/** Takes the reply over from Fastify and writes its head. Once the signal is aborted no `send` waits any more. */
export function openEventStream(
  reply: FastifyReply,
  limits: EventStreamLimits,
  signal: AbortSignal,
  eventText: (body: unknown) => string = dataLine,
): EventStream {
  const { raw } = reply;
  reply.tellLimits();
  reply.headers({
    'openai-processing-ms': processingMs(reply),
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache, no-transform',
    // nginx would collect the events otherwise.
    'x-accel-buffering': 'no',
  });
  reply.hijack();
  raw.writeHead(200, reply.getHeaders() as OutgoingHttpHeaders);
  raw.flushHeaders();
  const heartbeat = setInterval(() => {
    if (!raw.writableNeedDrain) raw.write(': heartbeat\n\n');
  }, limits.heartbeatIntervalMs);
  raw.once('close', () => clearInterval(heartbeat));
  /** A reader that never takes the last bytes must not keep the socket. */
  const letGo = (): void => {
    const stalled = setTimeout(() => raw.destroy(), limits.stalledReaderMsMax);
    raw.once('close', () => clearTimeout(stalled));
  };
  const isGone = (): boolean => raw.destroyed || raw.writableEnded;
  return {
    async send(bodies) {
      if (isGone()) return;
      heartbeat.refresh();
      if (!raw.write(bodies.map(eventText).join(''))) await drained(raw, limits.stalledReaderMsMax, signal);
    },
    finish(bodies) {
      clearInterval(heartbeat);
      if (isGone()) return;
      raw.end(`${bodies.map(eventText).join('')}data: [DONE]\n\n`);
      letGo();
    },
    fail(error) {
      clearInterval(heartbeat);
      if (isGone()) return;
      const { socket } = raw;
      raw.end(dataLine(openAiErrorBody(error)), () => {
        // Clients send their next request over the same connection, so only a process that goes takes it away.
        if (error.code === 'draining') socket?.end(() => socket.destroy());
      });
      letGo();
    },
  };
}

/** Resolves when the socket has taken what was written, is closed, or nobody wants to wait; closes it after the limit. */
async function drained(raw: ServerResponse, msMax: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const stalled = setTimeout(() => raw.destroy(), msMax);
  const settle = (): void => resolve();
  raw.once('drain', settle).once('close', settle);
  signal.addEventListener('abort', settle, { once: true });
  if (!signal.aborted) await promise;
  clearTimeout(stalled);
  raw.off('drain', settle).off('close', settle);
  signal.removeEventListener('abort', settle);
}
