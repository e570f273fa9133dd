/**
 * How often the target cuts forced text as the tokeniser does: decayed counts of tokens, in all sessions and in each. Large
 * models nearly always do; a small one that did not expect the word spells it out of pieces.
 */

/** The belief before anything is seen counts as so many tokens, and so does that of all sessions in each. */
const priorTokens = 8;
const prior = 0.9;

/** A token's weight halves over 69 later ones in all sessions, over 23 in its own. */
const sharedDecay = 0.99;
const sessionDecay = 0.97;

/** No chance is 0 or 1: the next word may be another one. */
const chanceMin = 0.05;
const chanceMax = 0.99;

export interface CutBelief {
  /** Chance that a token is right, given that those before it were. */
  chance(session: string): number;
  observe(session: string, accepted: number, judged: number): void;
  forget(session: string): void;
}

interface Counts {
  accepted: number;
  judged: number;
}

export function createCutBelief(): CutBelief {
  const shared: Counts = { accepted: 0, judged: 0 };
  const sessions = new Map<string, Counts>();

  function chance(session: string): number {
    const { accepted, judged } = sessions.get(session) ?? { accepted: 0, judged: 0 };
    const usual = (shared.accepted + priorTokens * prior) / (shared.judged + priorTokens);
    const own = (accepted + priorTokens * usual) / (judged + priorTokens);
    return Math.min(chanceMax, Math.max(chanceMin, own));
  }

  return {
    chance,
    observe(session, accepted, judged) {
      const own = sessions.get(session) ?? { accepted: 0, judged: 0 };
      sessions.set(session, own);
      count(shared, sharedDecay, accepted, judged);
      count(own, sessionDecay, accepted, judged);
    },
    forget: (session) => void sessions.delete(session),
  };
}

function count(counts: Counts, decay: number, accepted: number, judged: number): void {
  const kept = decay ** judged;
  counts.accepted = counts.accepted * kept + accepted;
  counts.judged = counts.judged * kept + judged;
}
