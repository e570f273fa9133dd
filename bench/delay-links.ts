/**
 * The benchmark's side of the links: starts their process, opens one link per target, measures the delay that they
 * really give. The measured one-way delay is half an echo's round trip through a link of the same shape and process.
 */
import net from 'node:net';
import type { LinkTraffic } from './delay-link.ts';
import type { LinkCalls } from './delay-link-process.ts';
import type { LinkShape } from './delay-schedule.ts';
import { forkCallee } from './process-calls.ts';
import { median } from './statistics.ts';

/** About a small FORWARD frame: delay, not bandwidth, is measured. */
const echoBytes = 64;

export interface DelayLinks {
  /** Of the process of all links. */
  readonly pid: number;
  /** A link in front of 127.0.0.1:targetPort; resolves with the port to dial. */
  open(targetPort: number): Promise<number>;
  /** Median one-way delay of so many echoes, ms. */
  measureOneWayMs(echoes: number): Promise<number>;
  /** Counters of the links, in the order of `open`. */
  traffic(): Promise<readonly LinkTraffic[]>;
  close(): Promise<void>;
}

/** Starts the process of all links. Each link gets the shape with a seed of its own. */
export async function startDelayLinks(shape: LinkShape): Promise<DelayLinks> {
  const callee = forkCallee<LinkCalls>(new URL('./delay-link-process.ts', import.meta.url));
  let opened = 0;
  const open = (targetPort: number): Promise<number> =>
    callee.call('open', { targetPort, shape: { ...shape, seed: shape.seed + opened++ } });
  const echoServer = net.createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => {}).pipe(socket);
  });
  await new Promise<void>((resolve) => echoServer.listen(0, '127.0.0.1', resolve));
  const echoPort = await open((echoServer.address() as net.AddressInfo).port);
  return {
    pid: callee.pid,
    open,
    measureOneWayMs: async (echoes) => median(await echoRoundTripsMs(echoPort, echoes)) / 2,
    traffic: async () => (await callee.call('traffic', null)).slice(1),
    async close() {
      echoServer.close();
      await callee.close();
    },
  };
}

async function echoRoundTripsMs(port: number, echoes: number): Promise<number[]> {
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve).once('error', reject);
  });
  const roundTripsMs: number[] = [];
  for (let i = 0; i < echoes; i++) roundTripsMs.push(await echoMs(socket));
  socket.destroy();
  return roundTripsMs;
}

function echoMs(socket: net.Socket): Promise<number> {
  const startedMs = performance.now();
  return new Promise((resolve, reject) => {
    let missing = echoBytes;
    const read = (chunk: Buffer): void => {
      missing -= chunk.length;
      if (missing > 0) return;
      socket.off('data', read).off('error', reject);
      resolve(performance.now() - startedMs);
    };
    socket.on('data', read).once('error', reject);
    socket.write(Buffer.alloc(echoBytes));
  });
}
