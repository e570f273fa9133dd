/**
 * A worker: one engine behind an HTTP/2 server. It survives anything that a peer sends, runs one pass at a time (of
 * several sessions where they wait), and ends in order: no new sessions, the pass in flight finished, every session told, every socket closed.
 */
import {
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type ServerHttp2Session,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import { type Clock, systemClock } from './clock.ts';
import type { ShardEngine } from './engine.ts';
import { createEngineTurns } from './engine-turns.ts';
import { ShardError } from './errors.ts';
import { http2Options, widenWindow } from './http2-limits.ts';
import { keepAlive } from './keep-alive.ts';
import type { Log } from './log.ts';
import type { ShardManifest } from './manifest.ts';
import { createPassQueue } from './pass-queue.ts';
import { createPassRunner } from './pass-runner.ts';
import { createPeers } from './peers.ts';
import { createWorkerCounters, type WorkerCounters } from './worker-counters.ts';
import { answer, type WorkerDesk } from './worker-http.ts';
import { type WorkerLimits, workerLimits } from './worker-limits.ts';
import { createWorkerSession, type WorkerSession } from './worker-session.ts';

export interface WorkerOptions {
  /** Stays the caller's: close() does not dispose of it. */
  readonly engine: ShardEngine;
  readonly manifest: ShardManifest;
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** null leaves the worker open: for loopback alone. */
  readonly clusterKey: string | null;
  readonly log: Log;
  readonly clock?: Clock;
  readonly limits?: Partial<WorkerLimits>;
  /** PEM. With it the worker speaks TLS, else HTTP/2 in clear text with prior knowledge. */
  readonly tls?: { readonly key: string; readonly cert: string };
  /** Certificate authority (PEM) of the next hops. */
  readonly ca?: string;
}

export interface Worker {
  readonly origin: string;
  readonly counters: Readonly<WorkerCounters>;
  /** Sessions open now. */
  readonly sessionCount: number;
  /** Drains: at most drainMs for the pass in flight and as long for the streams. */
  close(): Promise<void>;
}

export async function startWorker(options: WorkerOptions): Promise<Worker> {
  const { engine, manifest, log, clock = systemClock } = options;
  const limits = { ...workerLimits, ...options.limits };
  const sessions = new Map<string, WorkerSession>();
  const connections = new Set<ServerHttp2Session>();
  let draining = false;

  const queue = createPassQueue(limits);
  const counters = createWorkerCounters();
  const sessionOf = (id: string): WorkerSession | undefined => sessions.get(id);
  const turns = createEngineTurns(
    clock,
    createPassRunner({
      engine,
      queue,
      limits,
      counters,
      clock,
      sessionOf,
      sessionCount: () => sessions.size,
    }),
  );
  const peers = createPeers({
    own: manifest,
    peersMax: limits.peersMax,
    clock,
    log,
    ...(options.ca === undefined ? {} : { ca: options.ca }),
  });

  const desk: WorkerDesk = {
    engine,
    manifest,
    turns,
    queue,
    peers,
    limits,
    counters,
    clock,
    log,
    clusterKey: options.clusterKey,
    draining: () => draining,
    sessionCount: () => sessions.size,
    forget: (id) => void sessions.delete(id),
    sessionOf(id) {
      const known = sessions.get(id);
      if (known !== undefined) return known;
      if (draining) throw new ShardError('draining', 'this worker is shutting down');
      if (sessions.size >= limits.sessionsMax) {
        throw new ShardError(
          'limit',
          `this worker serves its ${limits.sessionsMax} sessions already; try another or later`,
        );
      }
      const session = createWorkerSession(id, desk);
      sessions.set(id, session);
      counters.sessionsOpened++;
      return session;
    },
  };

  const server: Http2Server | Http2SecureServer =
    options.tls === undefined
      ? createServer(http2Options)
      : createSecureServer({ ...http2Options, ...options.tls });
  server.maxConnections = limits.connectionsMax;
  server.on('session', (session: ServerHttp2Session) => {
    connections.add(session);
    session.once('close', () => connections.delete(session));
    session.on('error', (error) => log.debug({ err: error }, 'connection failed'));
    widenWindow(session);
    const { socket } = session;
    keepAlive({
      session,
      bytesRead: () => (session.destroyed ? 0 : socket.bytesRead),
      clock,
      onSilent: () => session.destroy(),
    });
  });
  server.on('stream', (stream, headers) => answer(desk, stream, headers));
  server.on('sessionError', (error) => log.debug({ err: error }, 'connection failed'));
  await listen(server, options.host, options.port);
  server.on('error', (error) => log.error({ err: error }, 'worker server failed'));

  let closing: Promise<void> | null = null;
  async function drain(): Promise<void> {
    draining = true;
    await within(turns.stop(), limits.drainMs, clock);
    for (const session of [...sessions.values()]) {
      session.fail(new ShardError('draining', 'this worker is shutting down'));
    }
    // Behind all closings: whoever owns the engine disposes of it next.
    await within(
      turns.take(() => Promise.resolve()),
      limits.drainMs / 3,
      clock,
    );
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const connection of connections) connection.close();
    await within(closed, limits.drainMs / 3, clock);
    for (const connection of connections) connection.destroy();
    await Promise.all([closed, peers.close()]);
  }

  return {
    origin: originOf(server.address() as AddressInfo, options.tls !== undefined),
    counters,
    get sessionCount() {
      return sessions.size;
    },
    close() {
      closing ??= drain();
      return closing;
    },
  };
}

function listen(server: Http2Server | Http2SecureServer, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function within(promise: Promise<void>, ms: number, clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    const cancel = clock.after(ms, resolve);
    void promise.then(() => {
      cancel();
      resolve();
    });
  });
}

function originOf({ address, family, port }: AddressInfo, secure: boolean): string {
  const host = family === 'IPv6' ? `[${address}]` : address;
  return `${secure ? 'https' : 'http'}://${host}:${port}`;
}
