/**
 * Events of a background response as they come, kept for readers that join late or again. Bounded: beyond the limit
 * the oldest go, and a reader that asks for one of those is told so instead of getting a stream with a hole.
 */
import type { ResponseEvent } from './response-events.ts';

/** Some 15,000 events of one token each; a longer answer can be read whole once it is finished. */
export const eventLogBytesMax = 4 * 2 ** 20;

export interface EventLog {
  /** Never waits: a slow reader does not hold the answer back, it loses its place. */
  append(events: readonly ResponseEvent[]): void;
  /** No more will come. */
  close(): void;
  /** Are all events after this number still here, or yet to come? */
  holds(startingAfter: number): boolean;
  /** Batches of events after the number, until the log is closed. Throws OffsetLostError. */
  read(startingAfter: number): AsyncGenerator<ResponseEvent[]>;
}

/** The events that a reader asked for, or had yet to read, are gone. */
export class OffsetLostError extends Error {
  constructor() {
    super('events before the oldest one that is kept were asked for');
    this.name = 'OffsetLostError';
  }
}

export function createEventLog(bytesMax = eventLogBytesMax): EventLog {
  const kept: { readonly event: ResponseEvent; readonly bytes: number }[] = [];
  /** Events that went, and so the number of the first one that is kept. */
  let dropped = 0;
  let bytes = 0;
  let closed = false;
  let news = Promise.withResolvers<void>();

  function wake(): void {
    news.resolve();
    news = Promise.withResolvers<void>();
  }

  const holds = (startingAfter: number): boolean => startingAfter + 1 >= dropped;

  return {
    holds,
    append(events) {
      for (const event of events) {
        const size = JSON.stringify(event).length;
        kept.push({ event, bytes: size });
        bytes += size;
      }
      let surplus = 0;
      for (; bytes > bytesMax && surplus < kept.length - 1; surplus += 1) bytes -= kept[surplus]!.bytes;
      kept.splice(0, surplus);
      dropped += surplus;
      wake();
    },
    close() {
      closed = true;
      wake();
    },
    async *read(startingAfter) {
      let next = startingAfter + 1;
      for (;;) {
        if (next < dropped) throw new OffsetLostError();
        const batch = kept.slice(next - dropped).map(({ event }) => event);
        if (batch.length > 0) {
          next += batch.length;
          yield batch;
        } else if (closed) return;
        else await news.promise;
      }
    },
  };
}
