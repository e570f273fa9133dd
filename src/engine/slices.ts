/**
 * Into how many frames a draft is cut. Several small frames flow through the stages one behind the other, so the
 * first verdicts come sooner and each stage works while the others do; many tiny ones pay the fixed cost of a pass
 * too often. For m tokens in frames of c rows over N stages, each with a pass of a + b·c, the last verdict comes after
 * const + N·b·c + (m/c)·(a + b·c), which is least at c = sqrt(m·a / (N·b)) (pipelining as in papers on PipeInfer).
 */

/** Cost of one stage's pass, ms: fixed + perRow · rows. */
export interface StageCost {
  readonly fixedMs: number;
  readonly perRowMs: number;
}

/** Of a smaller frame's pass nearly all is fixed cost, which takes from the frames around it where stages share cores. */
const sliceRowsMin = 4;
/** Larger ones leave nothing to overlap. */
const sliceRowsMax = 16;

/** Rows of each frame for a draft of `tokens`. */
export function sliceRows(tokens: number, stages: number, { fixedMs, perRowMs }: StageCost): number {
  const best = Math.sqrt((tokens * Math.max(fixedMs, 0)) / (stages * Math.max(perRowMs, 1e-3)));
  return Math.min(Math.max(Math.round(best), sliceRowsMin), sliceRowsMax);
}

/** Guesses of each frame of a new round: the first frame has a committed token besides. Never empty. */
export function openingSlices(tokens: number, rows: number, framesMax: number): number[] {
  const [first = 1, ...rest] = followingSlices(tokens + 1, rows, framesMax);
  return [first - 1, ...rest];
}

/** Guesses of each frame that goes on behind others, as even as possible, in at most `framesMax` frames. */
export function followingSlices(tokens: number, rows: number, framesMax: number): number[] {
  const frames = Math.min(framesMax, Math.ceil(tokens / rows));
  const counts: number[] = [];
  for (let left = tokens, frame = frames; frame > 0; frame--) {
    const share = Math.ceil(left / frame);
    counts.push(share);
    left -= share;
  }
  return counts;
}
