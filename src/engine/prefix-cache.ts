/**
 * Which sessions have rows on the ring that a new one may start from: finished ones whose caches stay until they are
 * evicted, and running ones, whose prompts every stage holds as soon as the first verdict has come back. The longest
 * common beginning wins. Nothing crosses owners unless that is wanted: a shorter time to the first token tells what
 * others asked. Workers evict on their own; a donor that is gone or shorter costs a gap, never a wrong row.
 *
 * A prompt whose beginning another session is prefilling at this moment does best to wait for it: a stage runs one
 * chunk at a time, so prefilling the same rows twice makes both sessions late.
 */

/** Finished sessions remembered; older ones are evicted on the workers before that under any load. */
const keptMax = 64;
/** A shorter beginning is prefilled in the time that adopting takes. */
const prefixTokensMin = 32;
/** Of what the other still prefills, the part in common: below it the wait is longer than the work that it saves. */
const awaitedShareMin = 0.5;

export interface PrefixDonor {
  readonly donor: string;
  /** Positions that can be taken over. */
  readonly length: number;
}

export interface PrefixCache {
  /** The best donor for a prompt of this owner, or null. At least one token is left to be run. */
  find(owner: string, promptIds: readonly number[]): PrefixDonor | null;
  /** The session whose prefill a prompt of this owner should wait for, or null. */
  awaited(owner: string, promptIds: readonly number[]): string | null;
  /** A session's prompt is on its way through the ring, but for the first `adopted` tokens, which are there. */
  begin(session: string, owner: string, promptIds: readonly number[], adopted: number): void;
  /** Its first verdict came: every stage holds the prompt. */
  ready(session: string): void;
  /** It ended with its caches kept; `tokens` are final, and the last of them has no row. */
  keep(session: string, tokens: readonly number[]): void;
  /** It ended, and its caches are gone. */
  drop(session: string): void;
}

interface Rows {
  readonly owner: string;
  readonly ids: Uint32Array;
}

interface RunningRows extends Rows {
  /** Rows that its prefill makes; 0 once it is through. */
  prefilling: number;
}

/** `shared`: owners start from one another's rows. */
export function createPrefixCache({ shared }: { shared: boolean }): PrefixCache {
  const running = new Map<string, RunningRows>();
  /** In the order of use. */
  const kept = new Map<string, Rows>();

  const mayUse = (owner: string, rows: Rows): boolean => shared || rows.owner === owner;

  function find(owner: string, promptIds: readonly number[]): PrefixDonor | null {
    let best: PrefixDonor | null = null;
    const offer = (donor: string, rows: Rows): void => {
      if (!mayUse(owner, rows)) return;
      const length = commonLength(rows.ids, promptIds);
      if (length >= prefixTokensMin && length > (best?.length ?? 0)) best = { donor, length };
    };
    // Rows of running sessions cannot be evicted: of two equals they are the safer.
    for (const [donor, rows] of running) if (rows.prefilling === 0) offer(donor, rows);
    for (const [donor, rows] of kept) offer(donor, rows);
    return best;
  }

  return {
    find(owner, promptIds) {
      const best = find(owner, promptIds);
      const used = best === null ? undefined : kept.get(best.donor);
      if (used !== undefined) {
        kept.delete(best!.donor);
        kept.set(best!.donor, used);
      }
      return best;
    },
    awaited(owner, promptIds) {
      let best: PrefixDonor | null = null;
      for (const [donor, rows] of running) {
        if (rows.prefilling === 0 || !mayUse(owner, rows)) continue;
        const length = commonLength(rows.ids, promptIds);
        const worth = length >= awaitedShareMin * rows.prefilling;
        if (worth && length > (best?.length ?? 0)) best = { donor, length };
      }
      if (best === null) return null;
      const held = find(owner, promptIds)?.length ?? 0;
      return best.length - held >= prefixTokensMin ? best.donor : null;
    },
    begin(session, owner, promptIds, adopted) {
      const prefilling = Math.max(1, promptIds.length - adopted);
      running.set(session, { owner, ids: Uint32Array.from(promptIds), prefilling });
    },
    ready(session) {
      const rows = running.get(session);
      if (rows !== undefined) rows.prefilling = 0;
    },
    keep(session, tokens) {
      const rows = running.get(session);
      running.delete(session);
      if (rows === undefined || tokens.length <= prefixTokensMin) return;
      if (kept.size >= keptMax) kept.delete(kept.keys().next().value!);
      kept.set(session, { owner: rows.owner, ids: Uint32Array.from(tokens.slice(0, -1)) });
    },
    drop: (session) => void running.delete(session),
  };
}

function commonLength(rows: Uint32Array, promptIds: readonly number[]): number {
  const most = Math.min(rows.length, promptIds.length - 1);
  let length = 0;
  while (length < most && rows[length] === promptIds[length]) length += 1;
  return length;
}
