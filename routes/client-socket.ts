/**
 * One WebSocket as its owner uses it: JSON objects in, JSON objects out, each `send` done when the other side's buffer
 * took it. A client that takes nothing, or does not answer a ping, has left without saying so.
 */
import type { EventStreamLimits } from './sse.ts';

/** Close codes after which OpenAI's SDK connects anew, and the one after which it does not. */
export const closeCodes = { goingAway: 1001, restart: 1012, done: 1000 } as const;
/** Beats without an answer. */
const missedBeatsMax = 2;

/** What is used of the `ws` package's socket. */
export interface RawSocket {
  readonly readyState: number;
  send(text: string, sent: (error?: Error) => void): void;
  ping(): void;
  close(code: number, reason: string): void;
  terminate(): void;
  on(event: 'message', listener: (data: Buffer, isBinary: boolean) => void): void;
  on(event: 'close' | 'pong', listener: () => void): void;
}

export interface ClientSocket {
  /** Resolves when it is on its way, or the socket is gone. */
  send(body: unknown): Promise<void>;
  close(code: number, reason: string): void;
  terminate(): void;
}

const openState = 1;

export function guardSocket(raw: RawSocket, limits: EventStreamLimits): ClientSocket {
  let missed = 0;
  const heartbeat = setInterval(() => {
    if (missed >= missedBeatsMax) raw.terminate();
    else if (raw.readyState === openState) raw.ping();
    missed += 1;
  }, limits.heartbeatIntervalMs);
  raw.on('pong', () => {
    missed = 0;
  });
  raw.on('close', () => clearInterval(heartbeat));
  return {
    send(body) {
      if (raw.readyState !== openState) return Promise.resolve();
      const { promise, resolve } = Promise.withResolvers<void>();
      const stalled = setTimeout(() => raw.terminate(), limits.stalledReaderMsMax);
      raw.send(JSON.stringify(body), () => {
        clearTimeout(stalled);
        resolve();
      });
      return promise;
    },
    close: (code, reason) => raw.close(code, reason),
    terminate: () => raw.terminate(),
  };
}
