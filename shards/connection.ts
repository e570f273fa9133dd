/**
 * One HTTP/2 connection to a peer, opened by use and opened again by use: after a failed dial the next one waits out a
 * capped, jittered back-off, and nobody using it means nobody dialling. The only file that opens sockets to shards.
 * The shape (a union of documented states) is that of connect-es's http2-session-manager.
 */
import { type ClientHttp2Session, connect } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Clock } from './clock.ts';
import { ShardError } from './errors.ts';
import { http2Options, widenWindow } from './http2-limits.ts';
import { keepAlive } from './keep-alive.ts';
import type { Log } from './log.ts';

/** A dial that takes longer is given up: three SYNs on a lossy link. */
export const connectTimeoutMs = 5000;
/** Back-off after the first failed dial, doubled after each further one. */
export const backoffBaseMs = 100;
/** Back-off is never longer: a worker that comes back is found within this. */
export const backoffMaxMs = 5000;

export type ConnectionState =
  /** Nothing is open; the next use dials. */
  | { readonly name: 'idle' }
  /** A dial is under way; every use waits for the same one. */
  | { readonly name: 'connecting'; readonly ready: Promise<ClientHttp2Session> }
  /** Requests go out at once. */
  | { readonly name: 'ready'; readonly session: ClientHttp2Session }
  /** The peer sent GOAWAY: streams that are open end in peace, the next use dials anew. */
  | { readonly name: 'draining'; readonly session: ClientHttp2Session }
  /** The last dial failed; any use before `untilMs` (of the clock) fails with `error` at once. */
  | { readonly name: 'backing-off'; readonly untilMs: number; readonly error: ShardError }
  /** close() was called. Final. */
  | { readonly name: 'closed' };

export interface Connection {
  readonly origin: string;
  readonly state: ConnectionState;
  /** How many connections have been made so far: what was learnt about a peer holds for one of them. */
  readonly generation: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** The open session, or null where acquire() would have to wait. */
  current(): ClientHttp2Session | null;
  /** Dials if nothing is open. Throws ShardError unreachable. */
  acquire(): Promise<ClientHttp2Session>;
  /** Destroys all that is open. */
  close(): Promise<void>;
}

export interface ConnectionOptions {
  /** http: is HTTP/2 in clear text with prior knowledge, https: is TLS. */
  readonly origin: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Of [0, 1), for the jitter. */
  readonly random?: () => number;
  /** Certificate authority (PEM) to trust instead of the system's. */
  readonly ca?: string;
  /** A connection that stood has ended, and not by close(). */
  readonly onLost?: (error: ShardError) => void;
}

export function createConnection({
  origin,
  clock,
  log,
  random = Math.random,
  ca,
  onLost = () => {},
}: ConnectionOptions): Connection {
  let state: ConnectionState = { name: 'idle' };
  let generation = 0;
  let failures = 0;
  let closedBytes = { sent: 0, received: 0 };
  const open = new Map<ClientHttp2Session, Socket>();

  function current(): ClientHttp2Session | null {
    return state.name === 'ready' && !state.session.closed && !state.session.destroyed ? state.session : null;
  }

  function acquire(): Promise<ClientHttp2Session> {
    const session = current();
    if (session !== null) return Promise.resolve(session);
    if (state.name === 'connecting') return state.ready;
    if (state.name === 'closed') return Promise.reject(unreachable(origin, 'this client is closed'));
    if (state.name === 'backing-off' && clock.now() < state.untilMs) return Promise.reject(state.error);
    const ready = dial();
    // The dial fails for those who wait for it; nobody waiting is no crash.
    ready.catch(() => {});
    state = { name: 'connecting', ready };
    return ready;
  }

  function dial(): Promise<ClientHttp2Session> {
    const socket = openSocket(new URL(origin), ca);
    const session = connect(origin, { ...http2Options, createConnection: () => socket });
    open.set(session, socket);
    return new Promise((resolve, reject) => {
      let cause: unknown = null;
      let connected = false;
      const cancelTimeout = clock.after(connectTimeoutMs, () => {
        cause = new Error(`no answer within ${connectTimeoutMs} ms`);
        session.destroy();
      });
      session.once('connect', () => {
        cancelTimeout();
        if (session.destroyed) return;
        connected = true;
        generation++;
        widenWindow(session);
        keepAlive({
          session,
          bytesRead: () => socket.bytesRead,
          clock,
          onSilent: () => {
            log.warn({ origin }, 'peer is silent, connection dropped');
            session.destroy();
          },
        });
        if (state.name !== 'closed') state = { name: 'ready', session };
        resolve(session);
      });
      session.on('goaway', () => {
        if (state.name === 'ready' && state.session === session) state = { name: 'draining', session };
      });
      session.on('error', (error) => {
        cause = error;
      });
      session.once('close', () => {
        cancelTimeout();
        open.delete(session);
        closedBytes = {
          sent: closedBytes.sent + socket.bytesWritten,
          received: closedBytes.received + socket.bytesRead,
        };
        const error = unreachable(
          origin,
          cause instanceof Error ? cause.message : 'connection closed',
          cause,
        );
        // A peer that accepts and never says a byte (another protocol, a dying process) counts as a failed dial too.
        const own =
          state.name === 'connecting' ? !connected : 'session' in state && state.session === session;
        if (own && socket.bytesRead === 0) {
          const untilMs = clock.now() + backoffMs(failures++, random());
          state = { name: 'backing-off', untilMs, error };
          log.debug({ origin, failures, err: cause }, 'peer cannot be reached');
        } else if (own) {
          failures = 0;
          state = { name: 'idle' };
          log.debug({ origin, err: cause }, 'connection to peer ended');
        }
        reject(error);
        if (own && connected) onLost(error);
      });
    });
  }

  async function close(): Promise<void> {
    state = { name: 'closed' };
    await Promise.all(
      [...open].map(
        ([session, socket]) =>
          new Promise<void>((resolve) => {
            if (socket.closed) return resolve();
            socket.once('close', () => resolve());
            session.destroy();
            socket.destroy();
          }),
      ),
    );
  }

  const total = (closed: number, of: (socket: Socket) => number): number =>
    [...open.values()].reduce((sum, socket) => sum + of(socket), closed);

  return {
    origin,
    get state() {
      return state;
    },
    get generation() {
      return generation;
    },
    get bytesSent() {
      return total(closedBytes.sent, (socket) => socket.bytesWritten);
    },
    get bytesReceived() {
      return total(closedBytes.received, (socket) => socket.bytesRead);
    },
    current,
    acquire,
    close,
  };
}

/** Half to one and a half of base · 2^failures, at most backoffMaxMs. `random` of [0, 1). */
export function backoffMs(failures: number, random: number): number {
  return Math.min(backoffMaxMs, backoffBaseMs * 2 ** Math.min(failures, 16) * (0.5 + random));
}

function openSocket(url: URL, ca: string | undefined): Socket {
  const secure = url.protocol === 'https:';
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const port = url.port === '' ? (secure ? 443 : 80) : Number(url.port);
  if (!secure) return connectTcp({ host, port, noDelay: true });
  const trust = ca === undefined ? {} : { ca };
  const socket = connectTls({
    host,
    port,
    ALPNProtocols: ['h2'],
    ...(/^[\d.]+$|:/.test(host) ? {} : { servername: host }),
    ...trust,
  });
  socket.setNoDelay(true);
  return socket;
}

function unreachable(origin: string, why: string, cause?: unknown): ShardError {
  return new ShardError('unreachable', `${origin} cannot be reached: ${why}`, { detail: { origin }, cause });
}
