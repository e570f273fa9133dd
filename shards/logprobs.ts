/**
 * Log-probabilities of tokens under the target itself: log-softmax of raw logits, before bias, penalties, masks and
 * temperature. Sums run in f64 in the order of ids, so equal logits give equal bytes on every machine.
 */

/** Alternatives of one token; OpenAI's own bound. */
export const logprobsTopMax = 20;

/** Log-probabilities of a run of tokens, one row each. */
export interface LogprobRows {
  /** Alternatives per row. */
  readonly top: number;
  /** Of the tokens themselves [rows]. */
  readonly own: Float32Array;
  /** The likeliest ids [rows, top], likeliest first, ties to the lower id. */
  readonly topIds: Uint32Array;
  /** Theirs [rows, top]. */
  readonly topLogprobs: Float32Array;
}

export interface LogprobCollector {
  /** One more row: raw logits [V], and the id that was said there. */
  add(logits: Float32Array, id: number): void;
  rows(): LogprobRows;
}

/** `top` alternatives a row, or as many as there are ids. */
export function collectLogprobs(top: number): LogprobCollector {
  const own: number[] = [];
  const topIds: number[] = [];
  const topLogprobs: number[] = [];
  let columns = top;
  return {
    add(logits, id) {
      const shift = logNormaliser(logits);
      own.push(logits[id]! - shift);
      const best = likeliest(logits, top);
      columns = best.length;
      for (const other of best) {
        topIds.push(other);
        topLogprobs.push(logits[other]! - shift);
      }
    },
    rows: () => ({
      top: columns,
      own: Float32Array.from(own),
      topIds: Uint32Array.from(topIds),
      topLogprobs: Float32Array.from(topLogprobs),
    }),
  };
}

/** log of the sum of exponentials. */
function logNormaliser(logits: Float32Array): number {
  let peak = -Infinity;
  for (const logit of logits) if (logit > peak) peak = logit;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - peak);
  return peak + Math.log(sum);
}

function likeliest(logits: Float32Array, count: number): number[] {
  const best: number[] = [];
  if (count === 0) return best;
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id]!;
    if (best.length === count && logit <= logits[best.at(-1)!]!) continue;
    let at = best.length;
    while (at > 0 && logits[best[at - 1]!]! < logit) at -= 1;
    best.splice(at, 0, id);
    if (best.length > count) best.pop();
  }
  return best;
}
