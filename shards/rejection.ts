/**
 * Rejection sampling of one draft token (speculative sampling, arXiv 2211.17192; with truncated draft probabilities
 * TK-SLT, arXiv 2509.04576): accept with min(1, target / draft), else draw from what the draft had too little of. The
 * law of the result is the target's, whatever the draft's law was, if the token was drawn from exactly draftProbs.
 * A point mass as the draft's law gives: accept with the target's probability, else draw among the others.
 */
import { normalised, type SparseProbs } from './draft-probs.ts';

export interface DraftedToken {
  readonly id: number;
  /** The law that it was drawn from; holds `id`. */
  readonly pairs: SparseProbs;
}

/** Two independent uniform numbers in (0, 1), neither of which drew the draft. */
export interface RejectionDraws {
  readonly accept: number;
  readonly choose: number;
}

/** The committed id; it is the drafted one exactly if that was accepted. `targetProbs` [V] is changed. */
export function chooseByRejection(
  targetProbs: Float64Array,
  drafted: DraftedToken | null,
  draws: RejectionDraws,
): number {
  if (drafted === null) return drawFrom(targetProbs, draws.choose);
  const { ids } = drafted.pairs;
  const draftProbs = normalised(drafted.pairs);
  if (draws.accept * draftProbs[ids.indexOf(drafted.id)]! < targetProbs[drafted.id]!) return drafted.id;
  for (const [i, id] of ids.entries()) targetProbs[id] = Math.max(0, targetProbs[id]! - draftProbs[i]!);
  return drawFrom(targetProbs, draws.choose);
}

/** An id by weights [V] that need not sum to 1; `at` in (0, 1) is where it lies in their running sum. */
function drawFrom(weights: Float64Array, at: number): number {
  let total = 0;
  for (const weight of weights) total += weight;
  const target = at * total;
  let sum = 0;
  let last = 0;
  for (let id = 0; id < weights.length; id++) {
    if (weights[id] === 0) continue;
    sum += weights[id]!;
    last = id;
    if (sum > target) break;
  }
  return last;
}
