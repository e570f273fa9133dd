/**
 * The worker's URLs: three probes and the two streams of a session. Every request is answered: with frames, with a
 * body, or with {"error"}; a stream that brings no OPEN within the grace is sent away.
 */
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { EngineLoad } from './engine.ts';
import { ShardError, toShardError } from './errors.ts';
import { badFrame, type Frame } from './frame.ts';
import { createFrameChannel, type FrameChannel } from './frame-channel.ts';
import { errorBody, statusOf } from './http-error.ts';
import { isFirst, isTail } from './manifest.ts';
import { encodeError } from './messages.ts';
import { checkOpen } from './open-check.ts';
import { decodeChainOpen, decodeTailOpen } from './open-message.ts';
import type { ShardHealth, ShardStatus } from './shard-status.ts';
import { type Access, checkAccess } from './worker-access.ts';
import { countError, formatWorkerMetrics } from './worker-counters.ts';
import type { SessionHost, WorkerSession } from './worker-session.ts';

export interface WorkerDesk extends SessionHost {
  readonly clusterKey: string | null;
  readonly draining: () => boolean;
  readonly sessionCount: () => number;
  /** The session of this id, made if it is new. Throws limit, draining. */
  readonly sessionOf: (id: string) => WorkerSession;
}

const sessionPath = /^\/v1\/sessions\/([A-Za-z0-9_-]{1,64})\/(forward|verdicts)$/;

const notFound = 404;

/** Never throws. */
export function answer(desk: WorkerDesk, stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  // Without a listener an error (a reset, a write after it) would end the process.
  stream.on('error', () => {});
  route(desk, stream, headers).catch((error) => refuse(desk, stream, toShardError(error)));
}

async function route(
  desk: WorkerDesk,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
): Promise<void> {
  const target = `${headers[':method']} ${headers[':path']}`;
  const allow = (access: Access): void => checkAccess(desk.clusterKey, headers, access, desk.clock.unixMs());
  if (target === 'GET /health') {
    allow({ kind: 'probe' });
    return respond(stream, 'application/json', JSON.stringify(healthOf(desk)));
  }
  if (target === 'GET /metrics') {
    allow({ kind: 'probe' });
    return respond(stream, 'text/plain; version=0.0.4', await metricsOf(desk));
  }
  if (target === 'GET /v1/shard') {
    allow({ kind: 'manifest' });
    const status: ShardStatus = {
      manifest: desk.manifest,
      load: await loadOf(desk),
      draining: desk.draining(),
    };
    return respond(stream, 'application/json', JSON.stringify(status));
  }
  const [, session, kind] = sessionPath.exec(String(headers[':path'])) ?? [];
  if (session === undefined || headers[':method'] !== 'POST') {
    allow({ kind: 'probe' });
    const error = new ShardError('bad_request', `no such resource: ${target.slice(0, 200)}`);
    return refuse(desk, stream, error, notFound);
  }
  if (kind === 'forward') {
    allow({ kind: 'forward', session });
    openStream(desk, stream, (channel, frame) => {
      const open = decodeChainOpen(frame);
      checkOpen(desk.manifest, open);
      const opened = desk.sessionOf(session);
      opened.attachForward(channel, open);
      return { session: opened, onFrame: (next) => opened.onForwardFrame(channel, next) };
    });
  } else {
    allow({ kind: 'verdicts' });
    openStream(desk, stream, (channel, frame) => {
      const options = decodeTailOpen(frame);
      if (!isTail(desk.manifest.range, desk.manifest.dims)) {
        throw new ShardError('bad_request', 'verdicts come from the tail, this worker is none');
      }
      const opened = desk.sessionOf(session);
      opened.attachVerdicts(channel, options);
      return {
        session: opened,
        onFrame: (next) => {
          throw badFrame(`${next.type} does not belong behind the OPEN of a verdict stream`);
        },
      };
    });
  }
}

interface Attached {
  readonly session: WorkerSession;
  readonly onFrame: (frame: Frame) => void;
}

/** Answers 200 at once and waits for the OPEN, which `attach` turns into a session. */
function openStream(
  desk: WorkerDesk,
  stream: ServerHttp2Stream,
  attach: (channel: FrameChannel, frame: Frame) => Attached,
): void {
  if (isGone(stream)) return;
  let attached: Attached | null = null;
  let rejected = false;
  stream.respond({ ':status': 200, 'content-type': 'application/octet-stream' });
  const cancelWait = desk.clock.after(desk.limits.graceMs, () =>
    reject(new ShardError('bad_request', `no OPEN came within ${desk.limits.graceMs} ms`)),
  );
  function reject(error: ShardError): void {
    rejected = true;
    countError(desk.counters, error.code);
    channel.send(encodeError({ epoch: 0, round: 0, error, hop: 0 }));
    channel.end();
  }
  const channel = createFrameChannel({
    stream,
    hiddenWidth: isFirst(desk.manifest.range) ? 0 : desk.manifest.dims.hidden,
    clock: desk.clock,
    events: {
      onFrame(frame) {
        if (attached !== null) return attached.onFrame(frame);
        if (rejected) return; // An OPEN that came too late opens nothing.
        if (frame.type !== 'open') throw badFrame(`the first frame of a stream is OPEN, not ${frame.type}`);
        attached = attach(channel, frame);
        cancelWait();
      },
      onFinish(error) {
        if (attached !== null) return attached.session.onFinish(channel, error);
        cancelWait();
        if (error !== null) reject(error);
        else channel.end();
      },
      onClose() {
        cancelWait();
        desk.counters.bytesReceived += channel.bytesReceived;
        desk.counters.bytesSent += channel.bytesSent;
      },
    },
  });
}

function healthOf(desk: WorkerDesk): ShardHealth {
  return { status: desk.draining() ? 'draining' : 'ok', passAgeMs: desk.turns.passAgeMs() };
}

async function metricsOf(desk: WorkerDesk): Promise<string> {
  const { kvBytes, kvBytesMax } = await loadOf(desk);
  return formatWorkerMetrics(desk.counters, {
    sessions: desk.sessionCount(),
    queueFrames: desk.queue.frames,
    queueBytes: desk.queue.bytes,
    kvBytes,
    kvBytesMax,
    passAgeMs: desk.turns.passAgeMs(),
  });
}

/** Throws limit when the engine is too long in a pass to answer. */
function loadOf({ engine, clock, limits }: WorkerDesk): Promise<EngineLoad> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(limits.loadWaitMs, () =>
      reject(
        new ShardError(
          'limit',
          `the engine has been busy for ${limits.loadWaitMs} ms; ask again, or /health`,
        ),
      ),
    );
    engine.load().then(resolve, reject).finally(cancel);
  });
}

function respond(stream: ServerHttp2Stream, type: string, body: string): void {
  if (isGone(stream) || stream.headersSent) return;
  // A body that nobody asked for must not hold the window.
  stream.resume();
  stream.respond({ ':status': 200, 'content-type': type });
  stream.end(body);
}

function refuse(
  desk: WorkerDesk,
  stream: ServerHttp2Stream,
  error: ShardError,
  status = statusOf(error.code),
): void {
  countError(desk.counters, error.code);
  if (isGone(stream) || stream.headersSent) return;
  stream.resume();
  stream.respond({ ':status': status, 'content-type': 'application/json' });
  stream.end(errorBody(error));
}

/** A stream that was reset while we looked the other way takes no answer and throws. */
function isGone(stream: ServerHttp2Stream): boolean {
  return stream.destroyed || stream.closed;
}
