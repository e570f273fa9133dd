/**
 * How a round may end: after which guess the target says something else, and what. Pure. An outcome's chance is that of
 * the guesses before it times the drafter's own for the token, so the likeliest are drafted for first while the round is
 * under way (the outcomes that SSD/Saguaro prepares for, each accepted length times the draft's runners-up).
 */

/** What a drafter expects at one place, best first. */
export type Expected = readonly { readonly id: number; readonly chance: number }[];

export interface Outcome {
  /** Guesses that stand. */
  readonly after: number;
  /** The target's own token behind them. */
  readonly id: number;
  readonly chance: number;
}

/** An outcome less likely than this is not worth the pass that its first token costs. */
const chanceMin = 0.01;

/**
 * Outcomes of a round with these guesses, the likeliest first. `chances`: that each guess is right given those before;
 * `expected`: one for each guess and one behind the last, null where nothing is known.
 */
export function likelyOutcomes(
  guesses: readonly number[],
  chances: readonly number[],
  expected: readonly (Expected | null)[],
): Outcome[] {
  const outcomes: Outcome[] = [];
  let reach = 1;
  for (let after = 0; after <= guesses.length && reach >= chanceMin; after++) {
    const known = expected[after] ?? [];
    const guess = guesses[after];
    const guessed = known.find(({ id }) => id === guess)?.chance ?? 0;
    // What is left to the others once the guess is known to be wrong.
    const others = Math.max(1 - guessed, Number.EPSILON);
    const missed = guess === undefined ? 1 : (1 - chances[after]!) / others;
    for (const { id, chance } of known) {
      const likely = reach * missed * chance;
      if (id !== guess && likely >= chanceMin) outcomes.push({ after, id, chance: Math.min(1, likely) });
    }
    reach *= chances[after] ?? 0;
  }
  return outcomes.sort((a, b) => b.chance - a.chance);
}
