/**
 * Frames over one HTTP/2 stream, the same for both ends: decodes what comes, buffers what goes within limits, and
 * tells exactly once how the peer's half ended. Node reports a lost connection without 'error', by 'aborted' and 'close'
 * (or 'close' alone), so whatever closes before a clean END_STREAM is a loss.
 */
import { constants, type Http2Session, type Http2Stream } from 'node:http2';
import type { Clock } from './clock.ts';
import { ShardError, toShardError } from './errors.ts';
import { createFrameDecoder, type Frame } from './frame.ts';

/** Above so many waiting bytes `send` says false: one prefill chunk of a wide model, about 30 ms at 250 Mbit/s. */
export const sendBufferBytesHigh = 1 << 20;
/** At so many or fewer `drained` resolves: the link never runs dry before the sender is back. */
const sendBufferBytesLow = sendBufferBytesHigh / 2;
/** A sender that goes on regardless loses the stream here: the longest frame of the widest model, twice. */
export const sendBufferBytesMax = 64 << 20;
/** After our END_STREAM the peer has so long to end its side; then the stream is reset. */
const endTimeoutMs = 2000;

export interface FrameChannel {
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly bufferedBytes: number;
  /** Queues a frame. False: more than sendBufferBytesHigh wait, call again after drained(). Dropped once ended. */
  send(frame: Uint8Array): boolean;
  /** Resolves when half of sendBufferBytesHigh or less waits, or the stream is gone. */
  drained(): Promise<void>;
  /** Stops and restarts reading; a paused peer is held back by flow control. */
  pause(): void;
  resume(): void;
  /** END_STREAM behind what is queued. */
  end(): void;
  /** RST_STREAM with CANCEL: what is queued is lost, the peer takes it for "has left". */
  cancel(): void;
}

export interface ChannelEvents {
  /** May throw ShardError: the peer's half ends with it. */
  onFrame(frame: Frame): void;
  /** Once, last of the peer's half: null after END_STREAM or CANCEL, else why it broke. Our half is still open. */
  onFinish(error: ShardError | null): void;
  /** Once: both halves are gone. */
  onClose(): void;
}

export function createFrameChannel(options: {
  readonly stream: Http2Stream;
  readonly hiddenWidth: number;
  readonly clock: Clock;
  readonly events: ChannelEvents;
  /** True while what comes are not frames (the body of a refusal). */
  readonly ignored?: () => boolean;
}): FrameChannel {
  const { stream, events } = options;
  const session: Http2Session | undefined = stream.session;
  const decoder = createFrameDecoder(options.hiddenWidth);
  let bytesSent = 0;
  let bytesReceived = 0;
  let finished = false;
  let broken = false;
  let closed = false;
  let cancelEndTimer = (): void => {};
  let drainWaiters: (() => void)[] = [];

  function finish(error: ShardError | null): void {
    if (finished) return;
    finished = true;
    // What still comes is thrown away, or it would hold the flow-control window of the whole connection.
    stream.resume();
    events.onFinish(error);
  }

  function releaseWaiters(): void {
    const waiters = drainWaiters;
    drainWaiters = [];
    for (const resolve of waiters) resolve();
  }

  stream.on('data', (chunk: Uint8Array) => {
    bytesReceived += chunk.length;
    if (finished || options.ignored?.()) return;
    try {
      decoder.push(chunk, (frame) => {
        if (!finished) events.onFrame(frame);
      });
    } catch (error) {
      finish(toShardError(error));
    }
  });
  /** Reset by CANCEL, not by the loss of its connection, which Node puts into the same words. */
  function peerLeft(): boolean {
    const alive = session !== undefined && !session.closed && !session.destroyed;
    return alive && stream.rstCode === constants.NGHTTP2_CANCEL;
  }

  // A lost connection and a reset say 'end' as well, but 'aborted' before it: then 'close' decides.
  stream.on('aborted', () => {
    broken = true;
    // A paused stream never closes. Not at once: the streams of a lost connection go before it does.
    setImmediate(() => {
      if (peerLeft()) finish(null);
    });
  });
  stream.on('end', () => {
    if (!broken) finish(null);
  });
  // 'close' follows and says the same; without a listener an error would end the process.
  stream.on('error', () => {});
  stream.on('close', () => {
    if (closed) return;
    closed = true;
    cancelEndTimer();
    releaseWaiters();
    finish(peerLeft() ? null : lost(stream.rstCode));
    events.onClose();
  });

  return {
    get bytesSent() {
      return bytesSent;
    },
    get bytesReceived() {
      return bytesReceived;
    },
    get bufferedBytes() {
      return stream.writableLength;
    },
    send(frame) {
      if (closed || stream.destroyed || stream.writableEnded) return false;
      if (stream.writableLength + frame.length > sendBufferBytesMax) {
        finish(new ShardError('limit', `the peer does not read: ${stream.writableLength} bytes wait for it`));
        stream.close(constants.NGHTTP2_CANCEL);
        return false;
      }
      bytesSent += frame.length;
      // Not 'drain': Node says it only after its own, much lower mark was passed.
      stream.write(frame, () => {
        if (stream.writableLength <= sendBufferBytesLow) releaseWaiters();
      });
      return stream.writableLength <= sendBufferBytesHigh;
    },
    drained() {
      if (closed || stream.destroyed || stream.writableLength <= sendBufferBytesLow) return Promise.resolve();
      return new Promise((resolve) => drainWaiters.push(resolve));
    },
    pause: () => void (finished || stream.pause()),
    resume: () => void stream.resume(),
    end() {
      if (closed || stream.destroyed || stream.writableEnded) return;
      stream.end();
      cancelEndTimer = options.clock.after(endTimeoutMs, () => stream.close(constants.NGHTTP2_CANCEL));
    },
    cancel() {
      if (!closed && !stream.destroyed) stream.close(constants.NGHTTP2_CANCEL);
    },
  };
}

function lost(code: number | undefined): ShardError {
  return new ShardError('unreachable', 'the stream broke off without an end', {
    detail: { http2Code: code ?? 0 },
  });
}
