/**
 * The latest responses of one connection, kept with it whether they are stored or not: what `store: false` goes on
 * from. A response from which going on failed is forgotten, so that a client does not build on a doubtful state.
 */
import type { ResponseRecord } from './response-store.ts';

/** Each lane has a latest one, and forks go back to one that is a little older. */
const recordsMax = 32;
/** A connection that holds more than this in memory stores its responses instead. */
const bytesMax = 16 * 2 ** 20;

export interface RecentResponses {
  find(id: string): ResponseRecord | null;
  add(record: ResponseRecord): void;
  forget(id: string): void;
}

export function createRecentResponses(): RecentResponses {
  const records = new Map<string, { readonly record: ResponseRecord; readonly bytes: number }>();
  let bytes = 0;

  function forget(id: string): void {
    bytes -= records.get(id)?.bytes ?? 0;
    records.delete(id);
  }

  return {
    forget,
    find: (id) => records.get(id)?.record ?? null,
    add(record) {
      const size = JSON.stringify(record).length;
      records.set(record.response.id, { record, bytes: size });
      bytes += size;
      for (const id of records.keys()) {
        if (records.size <= recordsMax && bytes <= bytesMax) return;
        if (id !== record.response.id) forget(id);
      }
    },
  };
}
