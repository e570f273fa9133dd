/**
 * What the gateway holds of one worker, and a worker of the next one: probes, and the two streams of a session.
 * Streams are returned at once and buffer while the connection is made; failures arrive as ShardError through the
 * handlers, never as exceptions of a later tick.
 */
import { type ClientHttp2Session, type ClientHttp2Stream, constants } from 'node:http2';
import { type ClientStream, openClientStream, type StreamEvents } from './client-stream.ts';
import type { Clock } from './clock.ts';
import { type Connection, type ConnectionState, createConnection } from './connection.ts';
import { ShardError } from './errors.ts';
import { decodeForward, encodeForward, type ForwardMessage } from './forward-message.ts';
import { badFrame, hiddenWidthMax } from './frame.ts';
import { refusalOf } from './http-error.ts';
import { type Reader, readJson } from './json-reader.ts';
import type { Log } from './log.ts';
import type { ShardManifest } from './manifest.ts';
import { type CloseMode, encodeClose } from './messages.ts';
import {
  type ChainOpen,
  encodeChainOpen,
  encodeTailOpen,
  readOrigin,
  sessionPattern,
  type TailOpen,
} from './open-message.ts';
import { readShardHealth, readShardStatus, type ShardHealth, type ShardStatus } from './shard-status.ts';
import { decodeScores, decodeVerdict, type ScoresMessage, type VerdictMessage } from './verdict-message.ts';

/** A probe takes this long at most: a pass in flight delays it by one prefill chunk. */
const probeTimeoutMs = 5000;
/** Bytes of a probe's answer: a manifest is 1 KB. */
const probeBytesMax = 64 * 1024;

export interface ForwardHandlers extends StreamEvents {
  /** Star: rows that come back, to be relayed to the next range. */
  onForward?(message: ForwardMessage): void;
}

export interface VerdictHandlers extends StreamEvents {
  onVerdict(message: VerdictMessage): void;
  /** Left out by who never asks for scores. */
  onScores?(message: ScoresMessage): void;
}

export interface ForwardStream {
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly bufferedBytes: number;
  readonly closed: boolean;
  /** Never throws. False: more than sendBufferBytesHigh wait (or the stream has ended); go on after drained(). */
  send(message: ForwardMessage): boolean;
  /** Resolves when there is room again or the stream is gone. */
  drained(): Promise<void>;
  /** Ends the session on this worker and all behind it. `free` with bytes still waiting resets the stream instead. */
  close(mode: CloseMode): void;
}

export interface VerdictStream {
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly closed: boolean;
  /** Ends the stream alone; the session ends by the CLOSE of its forward stream. */
  close(): void;
}

export interface ShardClient {
  readonly origin: string;
  readonly state: ConnectionState;
  /** Connections made so far. */
  readonly generation: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Dials if need be, so that no request has to. Throws ShardError unreachable. */
  connect(): Promise<void>;
  /** GET /v1/shard. Throws ShardError. */
  status(authorization?: string | null): Promise<ShardStatus>;
  /** GET /v1/shard, its manifest alone. */
  manifest(authorization?: string | null): Promise<ShardManifest>;
  /** GET /health. */
  health(): Promise<ShardHealth>;
  /** POST /v1/sessions/{session}/forward. Throws bad_request for an OPEN that no worker would take. */
  openForward(
    session: string,
    open: ChainOpen,
    handlers: ForwardHandlers,
    authorization?: string | null,
  ): ForwardStream;
  /** POST /v1/sessions/{session}/verdicts, to the tail. */
  openVerdicts(session: string, open: TailOpen, handlers: VerdictHandlers): VerdictStream;
  /** Drops the connection and every stream on it. Final. */
  close(): Promise<void>;
}

export interface ShardClientOptions {
  readonly origin: string;
  /** Value of the authorization header, asked for at every request; null sends none. */
  readonly authorization: () => string | null;
  readonly clock: Clock;
  readonly log: Log;
  readonly random?: () => number;
  /** Certificate authority (PEM) for https: origins. */
  readonly ca?: string;
  /** A connection that stood has ended, and not by close(). */
  readonly onLost?: (error: ShardError) => void;
}

export function createShardClient(options: ShardClientOptions): ShardClient {
  const origin = readOrigin(options.origin, 'origin');
  const { clock } = options;
  const connection: Connection = createConnection(options);

  async function probe<T>(path: string, reader: Reader<T>, authorization: string | null): Promise<T> {
    const body = await get(await connection.acquire(), path, authorization, clock);
    return readJson(body, reader, path);
  }

  function openStream(
    session: string,
    kind: 'forward' | 'verdicts',
    rest: Omit<Parameters<typeof openClientStream>[0], 'connection' | 'path' | 'clock'>,
  ): ClientStream {
    if (!sessionPattern.test(session))
      throw new ShardError('bad_request', 'a session id is 1-64 letters, digits, - or _');
    return openClientStream({ ...rest, connection, path: `/v1/sessions/${session}/${kind}`, clock });
  }

  return {
    origin,
    get state() {
      return connection.state;
    },
    get generation() {
      return connection.generation;
    },
    get bytesSent() {
      return connection.bytesSent;
    },
    get bytesReceived() {
      return connection.bytesReceived;
    },
    async connect() {
      await connection.acquire();
    },
    status: (authorization = options.authorization()) => probe('/v1/shard', readShardStatus, authorization),
    async manifest(authorization = options.authorization()) {
      return (await probe('/v1/shard', readShardStatus, authorization)).manifest;
    },
    health: () => probe('/health', readShardHealth, options.authorization()),
    openForward(session, open, handlers, authorization = options.authorization()) {
      const stream = openStream(session, 'forward', {
        first: encodeChainOpen(open),
        authorization,
        hiddenWidth: open.topology === 'star' ? hiddenWidthMax : 0,
        events: handlers,
        onFrame: (frame) => {
          if (frame.type !== 'forward' || open.topology !== 'star')
            throw badFrame(`${frame.type} does not come back here`);
          handlers.onForward?.(decodeForward(frame));
        },
      });
      return {
        get bytesSent() {
          return stream.bytesSent;
        },
        get bytesReceived() {
          return stream.bytesReceived;
        },
        get bufferedBytes() {
          return stream.bufferedBytes;
        },
        get closed() {
          return stream.closed;
        },
        send: (message) => stream.send(encodeForward(message)),
        drained: () => stream.drained(),
        close(mode) {
          // A CLOSE would wait behind frames that the peer has not read; a reset overtakes them.
          if (mode === 'free' && connection.current() !== null) return stream.cancel();
          stream.send(encodeClose(mode));
          stream.end();
        },
      };
    },
    openVerdicts(session, open, handlers) {
      const stream = openStream(session, 'verdicts', {
        first: encodeTailOpen(open),
        authorization: options.authorization(),
        hiddenWidth: 0,
        events: handlers,
        onFrame: (frame) => {
          if (frame.type === 'verdict') handlers.onVerdict(decodeVerdict(frame));
          else if (frame.type === 'scores') handlers.onScores?.(decodeScores(frame));
          else throw badFrame(`${frame.type} does not come on a verdict stream`);
        },
      });
      return {
        get bytesSent() {
          return stream.bytesSent;
        },
        get bytesReceived() {
          return stream.bytesReceived;
        },
        get closed() {
          return stream.closed;
        },
        close: () => stream.end(),
      };
    },
    close: () => connection.close(),
  };
}

/** One GET, its body whole. Throws ShardError: unreachable, or what the peer answered. */
function get(
  session: ClientHttp2Session,
  path: string,
  authorization: string | null,
  clock: Clock,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const request: ClientHttp2Stream = session.request({
      ':method': 'GET',
      ':path': path,
      ...(authorization === null ? {} : { authorization }),
    });
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    let status = 0;
    let why = 'the connection broke off';
    const cancelTimeout = clock.after(probeTimeoutMs, () => {
      why = `no answer to ${path} within ${probeTimeoutMs} ms`;
      request.close(constants.NGHTTP2_CANCEL);
    });
    request.once('response', (headers) => {
      status = headers[':status'] ?? 0;
    });
    request.on('data', (chunk: Uint8Array) => {
      bytes += chunk.length;
      if (bytes <= probeBytesMax) chunks.push(chunk);
      else request.close(constants.NGHTTP2_CANCEL);
    });
    request.on('end', () => {
      if (bytes > probeBytesMax) reject(badFrame(`the answer to ${path} is above ${probeBytesMax} bytes`));
      else if (status === 200) resolve(Buffer.concat(chunks));
      else if (status > 0) reject(refusalOf(status, Buffer.concat(chunks)));
    });
    request.on('error', () => {});
    // After 'end' this is late and changes nothing; without 'end' it is the only sign of a loss.
    request.on('close', () => {
      cancelTimeout();
      reject(new ShardError('unreachable', why));
    });
    request.end();
  });
}
