/**
 * The dialling end of one frame stream: its first frame follows the headers at once, before the peer has answered,
 * so opening costs no round trip. What is sent while the connection is still being made waits within a limit.
 * Invariant: onError tells of a failure at most once (a gap apart), and onClose comes exactly once, last.
 */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  constants,
  type IncomingHttpHeaders,
} from 'node:http2';
import type { Clock } from './clock.ts';
import type { Connection } from './connection.ts';
import { ShardError, toShardError } from './errors.ts';
import type { Frame } from './frame.ts';
import {
  createFrameChannel,
  type FrameChannel,
  sendBufferBytesHigh,
  sendBufferBytesMax,
} from './frame-channel.ts';
import { refusalOf } from './http-error.ts';
import { decodeError } from './messages.ts';

/** A peer that has not answered the request by then is lost. */
const responseTimeoutMs = 10_000;
/** Bytes of an answer other than 200 that are read. */
const refusalBytesMax = 8 * 1024;

export interface StreamEvents {
  /** gap leaves the stream open, everything else ends it. detail.hop counts from the worker that this stream leads to. */
  onError(error: ShardError): void;
  /** Once, after everything else. */
  onClose(): void;
}

export interface ClientStream {
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Bytes that wait to be sent. */
  readonly bufferedBytes: number;
  readonly closed: boolean;
  /** False: no more until drained(). Frames after the end are dropped. */
  send(frame: Uint8Array): boolean;
  drained(): Promise<void>;
  end(): void;
  cancel(): void;
}

export function openClientStream(options: {
  readonly connection: Connection;
  readonly path: string;
  readonly authorization: string | null;
  /** OPEN. */
  readonly first: Uint8Array;
  /** Width of hidden rows that may come back; 0 for none. */
  readonly hiddenWidth: number;
  readonly clock: Clock;
  /** Frames other than ERROR. May throw ShardError. */
  readonly onFrame: (frame: Frame) => void;
  readonly events: StreamEvents;
}): ClientStream {
  const { connection, events, clock } = options;
  let channel: FrameChannel | null = null;
  let outbox: Uint8Array[] = [options.first];
  let outboxBytes = options.first.length;
  let ended: 'end' | 'cancel' | null = null;
  let failed = false;
  let closed = false;
  let cancelResponseTimer = (): void => {};
  let openWaiters: (() => void)[] = [];

  function fail(error: ShardError): void {
    if (failed || closed) return;
    failed = true;
    events.onError(error);
  }

  function close(): void {
    if (closed) return;
    closed = true;
    cancelResponseTimer();
    outbox = [];
    for (const resolve of openWaiters) resolve();
    openWaiters = [];
    events.onClose();
  }

  function onFrame(frame: Frame): void {
    if (frame.type !== 'error') {
      if (ended === null) options.onFrame(frame);
      return;
    }
    const { error, hop } = decodeError(frame);
    const placed = new ShardError(error.code, error.message, { detail: { ...error.detail, hop } });
    if (error.code === 'gap' && ended === null) events.onError(placed);
    else fail(placed);
  }

  function start(session: ClientHttp2Session): void {
    if (closed || ended === 'cancel') {
      close();
      return;
    }
    let request: ClientHttp2Stream;
    try {
      const authorization = options.authorization === null ? {} : { authorization: options.authorization };
      request = session.request({ ':method': 'POST', ':path': options.path, ...authorization });
    } catch (error) {
      fail(new ShardError('unreachable', 'the connection took no new stream', { cause: error }));
      close();
      return;
    }
    let refused = false;
    cancelResponseTimer = clock.after(responseTimeoutMs, () => {
      fail(new ShardError('unreachable', `no answer within ${responseTimeoutMs} ms`));
      request.close(constants.NGHTTP2_CANCEL);
    });
    request.once('response', (headers: IncomingHttpHeaders & { ':status'?: number }) => {
      cancelResponseTimer();
      if (headers[':status'] === 200) return;
      refused = true;
      readRefusal(request, headers[':status'] ?? 0, fail);
    });
    channel = createFrameChannel({
      stream: request,
      hiddenWidth: options.hiddenWidth,
      clock,
      events: {
        onFrame,
        onFinish: (error) => {
          if (refused) return;
          if (error !== null && ended === null) fail(error);
          // END_STREAM without our asking is the end of the session; what it meant came as ERROR before.
          channel?.end();
        },
        onClose: close,
      },
      ignored: () => refused,
    });
    for (const frame of outbox) channel.send(frame);
    outbox = [];
    outboxBytes = 0;
    for (const resolve of openWaiters) resolve();
    openWaiters = [];
    if (ended === 'end') channel.end();
  }

  const session = connection.current();
  if (session !== null) start(session);
  else {
    connection.acquire().then(start, (error) => {
      fail(toShardError(error));
      close();
    });
  }

  return {
    get bytesSent() {
      return channel?.bytesSent ?? 0;
    },
    get bytesReceived() {
      return channel?.bytesReceived ?? 0;
    },
    get bufferedBytes() {
      return channel?.bufferedBytes ?? outboxBytes;
    },
    get closed() {
      return closed;
    },
    send(frame) {
      if (closed || ended !== null) return false;
      if (channel !== null) return channel.send(frame);
      if (outboxBytes + frame.length > sendBufferBytesMax) {
        fail(new ShardError('limit', `${outboxBytes} bytes wait for a connection to ${connection.origin}`));
        close();
        return false;
      }
      outbox.push(frame);
      outboxBytes += frame.length;
      return outboxBytes <= sendBufferBytesHigh;
    },
    async drained() {
      if (channel === null && !closed) await new Promise<void>((resolve) => openWaiters.push(resolve));
      await channel?.drained();
    },
    end() {
      if (ended !== null) return;
      ended = 'end';
      channel?.end();
    },
    cancel() {
      if (ended === 'cancel') return;
      ended = 'cancel';
      if (channel !== null) channel.cancel();
      else close();
    },
  };
}

/** The JSON body of an answer other than 200, as the error of the stream. */
function readRefusal(request: ClientHttp2Stream, status: number, fail: (error: ShardError) => void): void {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  request.on('data', (chunk: Uint8Array) => {
    bytes += chunk.length;
    if (bytes <= refusalBytesMax) chunks.push(chunk);
  });
  request.once('close', () => fail(refusalOf(status, Buffer.concat(chunks))));
  request.once('end', () => {
    fail(refusalOf(status, Buffer.concat(chunks)));
    request.close(constants.NGHTTP2_NO_ERROR);
  });
}
