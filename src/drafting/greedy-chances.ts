/**
 * How likely a model's guesses are right of a target that decodes greedily. A draft head learns the target's law, so it
 * tells how often the target would draw a token; greedily the target says its likeliest one always, and the head's first
 * choice is that one more often than it tells. How much more was measured when the head was trained
 * (training/calibrate.py): a shift of the first choice's log odds, as in Platt scaling with a slope of 1.
 */

/** Chances of a row's guesses, the likeliest first, from what the model tells of them. The others share what is left. */
export function greedyChances(told: Float32Array, shift: number): Float32Array {
  const first = told[0] ?? 0;
  if (shift === 0 || first >= 1) return told;
  const odds = Math.exp(shift) * first;
  const chance = odds / (1 - first + odds);
  const left = (1 - chance) / (1 - first);
  return told.map((other, place) => (place === 0 ? chance : other * left));
}
