/**
 * Settings of HTTP/2 that both ends share. Node's defaults are made for web pages: windows of 64 KiB cost a prefill
 * over 15 ms links a factor of ten, 10 MB of session memory refuses streams, and a thousand quick resets bring a
 * GOAWAY that ends every session of the connection.
 */
import type { Http2Session, ServerOptions } from 'node:http2';

/** Bytes that a peer may send on one stream before we read: 256 rows of width 4,096 in flight. */
const streamWindowBytes = 4 << 20;
/** The same over all streams of a connection: eight paused sessions do not hold up a ninth. */
const connectionWindowBytes = 32 << 20;
/** MB that nghttp2 may hold for one connection: its window twice, and headers. */
const sessionMemoryMegabytes = 128;
/** Streams at once on one connection: two for each of 256 sessions, and probes. */
const concurrentStreamsMax = 1024;
/** Resets in a burst and per second: a gateway with every session cancelled at once stays below. */
const streamResetBurst = 2000;
const streamResetRate = 200;
/** Bytes of request headers: an origin, a path, a token of 900 characters. */
const headerListBytesMax = 8 * 1024;
const headerPairsMax = 32;
/** Frames that are against the protocol, before the connection is dropped. */
const invalidFramesMax = 100;
const rejectedStreamsMax = 100;

export const http2Options = {
  settings: {
    initialWindowSize: streamWindowBytes,
    maxConcurrentStreams: concurrentStreamsMax,
    maxHeaderListSize: headerListBytesMax,
    enablePush: false,
  },
  maxSessionMemory: sessionMemoryMegabytes,
  maxHeaderListPairs: headerPairsMax,
  maxSessionInvalidFrames: invalidFramesMax,
  maxSessionRejectedStreams: rejectedStreamsMax,
  streamResetBurst,
  streamResetRate,
} as const satisfies ServerOptions;

/** The connection's own window has no setting: it must be opened on every session, on whichever side receives. */
export function widenWindow(session: Http2Session): void {
  session.setLocalWindowSize(connectionWindowBytes);
}
