/** First in, first out per lane, lanes side by side: the order in which one connection's requests are worked on. */
import { GatewayError } from '../errors.ts';

/** Lanes that work or wait at once; an idle lane is none. */
export const lanesMax = 32;
/** Requests of one connection that wait behind others of their lane. */
export const waitingMax = 64;

export interface Lanes {
  /** Runs the task after all earlier ones of its lane. It must not reject. Throws queue_full. */
  run(lane: string, task: () => Promise<void>): void;
  /** Resolves when nothing runs and nothing waits. */
  idle(): Promise<void>;
}

export function createLanes(): Lanes {
  /** Lane → the end of its last task; a lane leaves with that. */
  const tails = new Map<string, Promise<void>>();
  let waiting = 0;
  return {
    run(lane, task) {
      const before = tails.get(lane);
      if (before === undefined ? tails.size >= lanesMax : waiting >= waitingMax) {
        const what = before === undefined ? `${lanesMax} lanes work` : `${waitingMax} requests wait`;
        throw new GatewayError('queue_full', `${what} on this connection already. Wait for one of them.`);
      }
      if (before !== undefined) waiting += 1;
      const tail = (before ?? Promise.resolve())
        .then(() => {
          if (before !== undefined) waiting -= 1;
          return task();
        })
        .finally(() => {
          if (tails.get(lane) === tail) tails.delete(lane);
        });
      tails.set(lane, tail);
    },
    async idle() {
      while (tails.size > 0) await Promise.all(tails.values());
    },
  };
}
