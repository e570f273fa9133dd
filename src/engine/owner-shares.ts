/**
 * Fair shares of the ring between owners (API keys), all of equal weight. Each has a counter of the rows that its
 * sessions sent; who comes back after a pause starts where the least served one at work stands, so nobody saves up
 * (virtual counters as in "Fairness in Serving Large Language Models", arXiv 2401.00588). An owner that is ahead of the
 * least served one by more than a quantum lets it go first; within a quantum the policy alone decides.
 */

/** Some fifty rounds, or a page of prompt: short enough to be a second's work, long enough that the policy has a choice. */
const quantumRows = 256;
/** Counters kept of owners with nothing to do; beyond it the one that left first is forgotten. */
const idleOwnersMax = 1024;

export interface OwnerShares {
  /** A session of this owner begins to wait. */
  enter(owner: string): void;
  /** It has ended. */
  leave(owner: string): void;
  charge(owner: string, rows: number): void;
  /** Quanta by which an owner is ahead of the least served one that has sessions. */
  lead(owner: string): number;
  /** Owners that have sessions. */
  readonly size: number;
}

export function createOwnerShares(): OwnerShares {
  const sessions = new Map<string, number>();
  const rowsOf = new Map<string, number>();
  /** In the order of leaving. */
  const idle = new Map<string, number>();

  const least = (): number => (rowsOf.size === 0 ? 0 : Math.min(...rowsOf.values()));

  return {
    enter(owner) {
      const count = sessions.get(owner) ?? 0;
      sessions.set(owner, count + 1);
      if (count > 0) return;
      rowsOf.set(owner, Math.max(idle.get(owner) ?? 0, least()));
      idle.delete(owner);
    },
    leave(owner) {
      const count = sessions.get(owner)!;
      if (count > 1) {
        sessions.set(owner, count - 1);
        return;
      }
      sessions.delete(owner);
      if (idle.size >= idleOwnersMax) idle.delete(idle.keys().next().value!);
      idle.set(owner, rowsOf.get(owner)!);
      rowsOf.delete(owner);
    },
    charge: (owner, rows) => void rowsOf.set(owner, rowsOf.get(owner)! + rows),
    lead: (owner) => Math.floor((rowsOf.get(owner)! - least()) / quantumRows),
    get size() {
      return sessions.size;
    },
  };
}
