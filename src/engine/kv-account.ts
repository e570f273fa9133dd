/**
 * Room in the key/value caches that sessions on the ring may still need. A session is let in only if it fits beside the
 * others at its longest, so that none fails in the middle of an answer; what is not taken holds caches of finished
 * sessions, which the workers evict for those that run. Counted in positions of the stage with the least room.
 */
import { kvRoomOf } from '../../shards/kv-room.ts';

export interface KvAccount {
  /** Takes room for `rows` positions if there is; a session alone is always let in. Again with the same name: changes nothing. */
  take(session: string, rows: number): boolean;
  /** Positions that nobody has taken. */
  free(): number;
  /** Gives it back. Unknown names are fine. */
  give(session: string): void;
}

/** `positions`: what the stage with the least room holds, as far as is known now. */
export function createKvAccount(positions: () => number): KvAccount {
  const taken = new Map<string, number>();
  let sum = 0;

  return {
    take(session, rows) {
      if (taken.has(session)) return true;
      const room = kvRoomOf(rows);
      // Where a step of growth does not fit, a cache alone on the ring grows by what it needs.
      if (taken.size > 0 && sum + room > positions()) return false;
      taken.set(session, room);
      sum += room;
      return true;
    },
    free: () => positions() - sum,
    give(session) {
      sum -= taken.get(session) ?? 0;
      taken.delete(session);
    },
  };
}
