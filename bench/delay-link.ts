/**
 * A slow link in user space: a TCP proxy on loopback that hands every chunk on `delayMs` after it came, in both
 * directions, in order. The end of a stream and a reset travel through the same queue, so they never overtake data.
 * Only the TCP handshake is not delayed: connect before the clock starts.
 *
 * Timers, no spinning: on two cores that also compute, a spinning proxy takes more from the engines than it gains in
 * precision. A chunk is never early, and up to about 1 ms late; `latenessMs` says how late.
 */
import net from 'node:net';
import { createDelaySchedule, type DelaySchedule, type LinkShape } from './delay-schedule.ts';

/**
 * Bytes that one direction of one connection holds before it stops reading: above the 4 MiB flow-control window of the
 * protocol, so that in normal use the link, not the buffer, is what limits.
 */
const heldBytesMax = 8 * 1024 * 1024;
/** What a chunk costs beside its bytes, so that a flood of tiny chunks is bounded as well. */
const chunkOverheadBytes = 64;

/** Counters since the link was opened. `up` is from the dialling side to the target. */
export interface LinkTraffic {
  readonly bytesUp: number;
  readonly bytesDown: number;
  readonly chunksUp: number;
  readonly chunksDown: number;
  /** Mean time that chunks left after they were due, ms. */
  readonly latenessMs: number;
}

export interface DelayLink {
  /** Port on 127.0.0.1 to dial instead of the target's. */
  readonly port: number;
  traffic(): LinkTraffic;
  /** Ends every connection at once. */
  close(): Promise<void>;
}

interface Direction {
  readonly schedule: DelaySchedule;
  bytes: number;
  chunks: number;
  lateMs: number;
}

interface Parcel {
  readonly dueMs: number;
  readonly content: Buffer | 'end' | 'reset';
}

/** Opens a link in front of 127.0.0.1:targetPort. Rejects if no port can be opened. */
export async function openDelayLink(targetPort: number, shape: LinkShape): Promise<DelayLink> {
  const up = newDirection(shape, 0);
  const down = newDirection(shape, 1);
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
    const far = net.connect({ port: targetPort, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    for (const socket of [near, far]) {
      sockets.add(socket);
      // What went wrong shows in 'close'; the listener only keeps the process alive.
      socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    }
    carry(near, far, up);
    carry(far, near, down);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve);
  });
  return {
    port: (server.address() as net.AddressInfo).port,
    traffic: () => ({
      bytesUp: up.bytes,
      bytesDown: down.bytes,
      chunksUp: up.chunks,
      chunksDown: down.chunks,
      latenessMs: (up.lateMs + down.lateMs) / Math.max(1, up.chunks + down.chunks),
    }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

function newDirection(shape: LinkShape, stream: number): Direction {
  return { schedule: createDelaySchedule(shape, stream), bytes: 0, chunks: 0, lateMs: 0 };
}

/** One direction of one connection: what `from` receives is written to `to` when it is due. */
function carry(from: net.Socket, to: net.Socket, direction: Direction): void {
  const parcels: Parcel[] = [];
  let heldBytes = 0;
  let timer: NodeJS.Timeout | null = null;
  let blocked = false;

  const accept = (content: Parcel['content'], bytes: number): void => {
    parcels.push({ dueMs: direction.schedule.dueMs(bytes, performance.now()), content });
    if (timer === null && !blocked) release();
  };
  const release = (): void => {
    timer = null;
    while (parcels.length > 0 && !blocked) {
      const { dueMs, content } = parcels[0];
      const lateMs = performance.now() - dueMs;
      if (lateMs < 0) {
        timer = setTimeout(release, Math.ceil(-lateMs));
        return;
      }
      parcels.shift();
      if (content === 'end') to.end();
      else if (content === 'reset') to.resetAndDestroy();
      else deliver(content, lateMs);
    }
  };
  const deliver = (chunk: Buffer, lateMs: number): void => {
    direction.lateMs += lateMs;
    heldBytes -= chunk.length + chunkOverheadBytes;
    blocked = !to.write(chunk);
    if (from.isPaused() && heldBytes < heldBytesMax / 2) from.resume();
  };

  from.on('data', (chunk: Buffer) => {
    if (to.destroyed) return;
    direction.bytes += chunk.length;
    direction.chunks += 1;
    heldBytes += chunk.length + chunkOverheadBytes;
    if (heldBytes > heldBytesMax) from.pause();
    accept(chunk, chunk.length);
  });
  from.on('end', () => accept('end', 0));
  from.on('close', (hadError) => {
    if (hadError || !from.readableEnded) accept('reset', 0);
  });
  to.on('drain', () => {
    blocked = false;
    if (timer === null) release();
  });
  to.on('close', () => {
    if (timer !== null) clearTimeout(timer);
    parcels.length = 0;
    blocked = true;
    from.resume();
  });
}
