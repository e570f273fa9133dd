/**
 * The benchmark's side of the links: starts their process, opens one link per target, measures the delay that they
 * really give. The measured one-way delay is half an echo's round trip through a link of the same shape and process.
 */
import { type ChildProcess, fork } from 'node:child_process';
import net from 'node:net';
import type { LinkTraffic } from './delay-link.ts';
import type { LinkCommand, LinkReply } from './delay-link-process.ts';
import type { LinkShape } from './delay-schedule.ts';
import { median } from './statistics.ts';

/** About a small FORWARD frame: delay, not bandwidth, is measured. */
const echoBytes = 64;

export interface DelayLinks {
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
  const child = fork(new URL('./delay-link-process.ts', import.meta.url), { execArgv: [] });
  const ask = createAsk(child);
  let opened = 0;
  const open = async (targetPort: number): Promise<number> => {
    const reply = await ask({ type: 'open', targetPort, shape: { ...shape, seed: shape.seed + opened++ } });
    if (reply.type !== 'opened') throw new Error(`the link process answered ${reply.type} to open`);
    return reply.port;
  };
  const echoServer = net.createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => {}).pipe(socket);
  });
  await new Promise<void>((resolve) => echoServer.listen(0, '127.0.0.1', resolve));
  const echoPort = await open((echoServer.address() as net.AddressInfo).port);
  return {
    open,
    measureOneWayMs: async (echoes) => median(await echoRoundTripsMs(echoPort, echoes)) / 2,
    async traffic() {
      const reply = await ask({ type: 'traffic' });
      if (reply.type !== 'traffic') throw new Error(`the link process answered ${reply.type} to traffic`);
      return reply.links.slice(1);
    },
    async close() {
      echoServer.close();
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.disconnect();
      await ended;
    },
  };
}

type Unnumbered<C> = C extends unknown ? Omit<C, 'id'> : never;

/** One question, one reply, by number. Rejects all that is open when the process ends. */
function createAsk(child: ChildProcess): (command: Unnumbered<LinkCommand>) => Promise<LinkReply> {
  const open = new Map<number, { resolve: (reply: LinkReply) => void; reject: (error: Error) => void }>();
  let lastId = 0;
  child.on('message', (reply: LinkReply) => {
    const question = open.get(reply.id);
    open.delete(reply.id);
    if (reply.type === 'failed') question?.reject(new Error(`a delay link failed: ${reply.message}`));
    else question?.resolve(reply);
  });
  child.on('exit', (code, signal) => {
    for (const { reject } of open.values()) reject(new Error(`the link process ended (${signal ?? code})`));
    open.clear();
  });
  return (command) =>
    new Promise((resolve, reject) => {
      const id = ++lastId;
      open.set(id, { resolve, reject });
      child.send({ ...command, id } satisfies LinkCommand, (error) => {
        if (error !== null && open.delete(id)) reject(error);
      });
    });
}

async function echoRoundTripsMs(port: number, echoes: number): Promise<number[]> {
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve).once('error', reject);
  });
  const roundTripsMs: number[] = [];
  for (let i = 0; i < echoes; i++) {
    const startedMs = performance.now();
    await new Promise<void>((resolve, reject) => {
      let missing = echoBytes;
      const read = (chunk: Buffer): void => {
        missing -= chunk.length;
        if (missing > 0) return;
        socket.off('data', read).off('error', reject);
        resolve();
      };
      socket.on('data', read).once('error', reject);
      socket.write(Buffer.alloc(echoBytes));
    });
    roundTripsMs.push(performance.now() - startedMs);
  }
  socket.destroy();
  return roundTripsMs;
}
