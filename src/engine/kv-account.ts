/**
 * Room in the key/value caches, as sessions on the ring have taken it ahead of their rows: no worker ever lacks memory for
 * a frame. What is not taken holds caches of finished sessions, which the workers evict for those that run. Counted in
 * positions of the stage with the least room.
 */
import { kvRoomOf } from '../../shards/kv-room.ts';

export interface KvAccount {
  /** Takes room for `rows` positions in all if there is, else changes nothing. A session alone always gets it. */
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
      const own = taken.get(session);
      const room = Math.max(kvRoomOf(rows), own ?? 0);
      const others = sum - (own ?? 0);
      // Where a step of growth does not fit, a cache alone on the ring grows by what it needs.
      if (others > 0 && others + room > positions()) return false;
      taken.set(session, room);
      sum = others + room;
      return true;
    },
    free: () => positions() - sum,
    give(session) {
      sum -= taken.get(session) ?? 0;
      taken.delete(session);
    },
  };
}
