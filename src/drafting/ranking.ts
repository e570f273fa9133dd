/**
 * What a model expects behind a row, the likeliest ids first, from its logits. With sampling the order is that of the
 * noised scores, since the target adds the same noise (gumbel coupling, arXiv 2408.07978): the second is what it says
 * if the first is wrong, most likely.
 */
import { chooseToken, type Sampling, softmax } from '../../shards/sampler.ts';

export interface RankedToken {
  readonly id: number;
  /** Chance that the target says it: greedily the model's own probability. */
  readonly chance: number;
}

/** Under noise that both share, how often the target says the model's first, second, … choice: a belief, for an order. */
const sampledChances = [0.55, 0.2, 0.1, 0.05];

/** The first `count` (at most four with sampling). `scores` [V] are changed. */
export function rankTokens(
  scores: Float32Array,
  sampling: Sampling,
  position: number,
  count: number,
): RankedToken[] {
  const greedily = sampling.temperature <= 0;
  const law = greedily ? softmax(scores) : null;
  const ranked: RankedToken[] = [];
  while (ranked.length < Math.min(count, scores.length, greedily ? count : sampledChances.length)) {
    const id = chooseToken(scores, sampling, position);
    // Fewer ids than asked for have a score: those of a head that knows some tokens alone.
    if (scores[id] === -Infinity) break;
    ranked.push({ id, chance: law === null ? sampledChances[ranked.length]! : law[id]! });
    scores[id] = -Infinity;
  }
  return ranked;
}
