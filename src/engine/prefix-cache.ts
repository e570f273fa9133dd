/**
 * Which finished sessions still have rows on the ring that a new one may start from: the longest common beginning
 * wins, and nothing crosses owners, since a shorter time to the first token tells what others asked. Workers evict on
 * their own; a donor that is gone or shorter costs a gap, never a wrong row.
 */

/** Finished sessions remembered; older ones are evicted on the workers before that under any load. */
const donorsMax = 64;
/** A shorter beginning is prefilled in the time that adopting takes. */
const prefixTokensMin = 32;

export interface PrefixDonor {
  readonly donor: string;
  /** Positions that can be taken over. */
  readonly length: number;
}

export interface PrefixCache {
  /** The best donor for a prompt of this owner, or null. At least one token is left to be run. */
  find(owner: string, promptIds: readonly number[]): PrefixDonor | null;
  /** A session ended with its caches kept; `tokens` are final, and the last of them has no row. */
  add(session: string, owner: string, tokens: readonly number[]): void;
}

interface Entry {
  readonly owner: string;
  readonly rows: Uint32Array;
}

export function createPrefixCache(): PrefixCache {
  /** In the order of use. */
  const entries = new Map<string, Entry>();

  return {
    find(owner, promptIds) {
      let best: PrefixDonor | null = null;
      for (const [donor, { owner: whose, rows }] of entries) {
        if (whose !== owner) continue;
        const length = commonLength(rows, promptIds);
        if (length >= prefixTokensMin && length > (best?.length ?? 0)) best = { donor, length };
      }
      if (best !== null) {
        const entry = entries.get(best.donor)!;
        entries.delete(best.donor);
        entries.set(best.donor, entry);
      }
      return best;
    },
    add(session, owner, tokens) {
      if (tokens.length <= prefixTokensMin) return;
      if (entries.size >= donorsMax) entries.delete(entries.keys().next().value!);
      entries.set(session, { owner, rows: Uint32Array.from(tokens.slice(0, -1)) });
    },
  };
}

function commonLength(rows: Uint32Array, promptIds: readonly number[]): number {
  const most = Math.min(rows.length, promptIds.length - 1);
  let length = 0;
  while (length < most && rows[length] === promptIds[length]) length += 1;
  return length;
}
