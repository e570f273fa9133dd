/**
 * What decoding over a ring of links should cost, ms per token (Decentralized Speculative Decoding, arXiv 2511.11733,
 * with H links per pass in place of its N - 1). The counted form takes draft lengths and tokens as they happened and is
 * what measurements are judged by; the closed forms assume one alpha for every position and stand beside it.
 */

export type Topology = 'chain' | 'star';

/** One ring: R = hops · t1Ms + tvMs. */
export interface Ring {
  /** One-way links that a pass crosses. */
  readonly hops: number;
  /** One-way delay of a link, ms. */
  readonly t1Ms: number;
  /** Compute of one pass through all shards, ms. */
  readonly tvMs: number;
}

/** What the counted form needs of a round; the fields are those of the engine's records. */
export interface CountedRound {
  readonly draftMs: number;
  readonly frames: number;
  /** Frames on the ring while its first one passes; left out: its own. */
  readonly together?: number;
  readonly answeredRows: number;
  readonly stagesMs: readonly number[];
  readonly fromIdle: boolean;
  /** It carried the prompt; where such a round is counted, it is charged as a plain one. */
  readonly opening: boolean;
}

/** The tail of a chain answers the gateway itself; in a star every shard does. */
export function hopsOf(topology: Topology, workers: number): number {
  return topology === 'chain' ? workers + 1 : 2 * workers;
}

/** One token per pass. */
export function plainMsPerToken({ hops, t1Ms, tvMs }: Ring): number {
  return hops * t1Ms + tvMs;
}

/** Synchronous rounds of `draftLength` tokens at tdMs each, every one accepted with chance alpha. */
export function synchronousMsPerToken(ring: Ring, draftLength: number, tdMs: number, alpha: number): number {
  return (draftLength * tdMs + plainMsPerToken(ring)) / expectedTokens(draftLength, alpha);
}

/** Tokens that a round commits on average: the accepted ones and the target's own. */
export function expectedTokens(draftLength: number, alpha: number): number {
  return alpha >= 1 ? draftLength + 1 : (1 - alpha ** (draftLength + 1)) / (1 - alpha);
}

/** The draft length (0…draftLengthMax) with the least time per token. */
export function bestDraftLength(ring: Ring, tdMs: number, alpha: number, draftLengthMax = 64): number {
  let best = 0;
  for (let length = 1; length <= draftLengthMax; length++) {
    const shorter = synchronousMsPerToken(ring, best, tdMs, alpha);
    if (synchronousMsPerToken(ring, length, tdMs, alpha) < shorter) best = length;
  }
  return best;
}

/** T = (1 - alpha) R + alpha delta of rounds as they happened; synchronous ones have no delta. */
export interface CountedTime {
  readonly msPerToken: number;
  /** Rounds that met an idle ring, per token: each paid for the whole ring. */
  readonly missShare: number;
  /** Draft, links and pass of such a round's first frame, mean, ms. */
  readonly ringMs: number;
  /** Time of the frames behind, per token that did not pay for the ring, ms: the busiest stage, or their drafting. */
  readonly deltaMs: number;
}

/**
 * A frame that meets an idle ring takes draft time + H · t1 + tv; one that follows another comes back by the time of the
 * ring's busiest stage later, or by its draft time if that is longer. The busiest is so over all rounds: stages that are
 * slow by turns hold up less than the slowest of each frame would. `tvMs` gives a pass's compute by its rows and by the
 * frames on the ring beside it.
 */
export function countedTime(
  rounds: readonly CountedRound[],
  tokens: number,
  link: { readonly hops: number; readonly t1Ms: number },
  tvMs: (rows: number, frames: number) => number,
): CountedTime {
  const behind = rounds.map(({ stagesMs, frames, fromIdle }) => {
    const share = fromIdle ? (frames - 1) / Math.max(1, frames) : 1;
    return stagesMs.map((ms) => ms * Math.max(0, share));
  });
  const busiest = busiestOf(behind);
  let misses = 0;
  let ringMs = 0;
  let behindMs = 0;
  for (const [
    i,
    { draftMs, frames, together = frames, answeredRows, fromIdle, opening },
  ] of rounds.entries()) {
    const stageMs = behind[i]![busiest] ?? 0;
    if (!fromIdle) {
      behindMs += frames === 0 ? 0 : Math.max(stageMs, draftMs);
      continue;
    }
    misses += 1;
    ringMs += link.hops * link.t1Ms;
    ringMs += opening ? tvMs(1, 1) : draftMs + tvMs(answeredRows / Math.max(1, frames), together);
    behindMs += stageMs;
  }
  return {
    msPerToken: (ringMs + behindMs) / tokens,
    missShare: misses / tokens,
    ringMs: ringMs / misses,
    deltaMs: behindMs / (tokens - misses),
  };
}

/** Index of the stage with the largest sum. */
function busiestOf(stagesMs: readonly (readonly number[])[]): number {
  const sums: number[] = [];
  for (const each of stagesMs)
    for (const [stage, ms] of each.entries()) sums[stage] = (sums[stage] ?? 0) + ms;
  return sums.indexOf(Math.max(...sums));
}

/**
 * Frames of `frameTokens` that follow one another without end until one token is wrong, every token right with chance
 * alpha, and verdicts stageMs apart: a frame's slowest stage, or what shared cores make of it (papers on PipeInfer and SwiftSpec, geometric runs).
 */
export function asynchronousMsPerToken(
  ring: Ring,
  frame: { readonly tokens: number; readonly stageMs: number },
  tdMs: number,
  alpha: number,
): number {
  const { tokens, stageMs } = frame;
  if (alpha >= 1) return Math.max(tokens * tdMs, stageMs) / tokens;
  const run = alpha ** tokens / (1 - alpha ** tokens);
  return (1 - alpha) * (plainMsPerToken(ring) + (tokens - 1) * tdMs + Math.max(tokens * tdMs, stageMs) * run);
}

/** Chance that a draft token is accepted given that those before it were, over all that were reached; NaN if none was. */
export function countedAlpha(
  rounds: readonly { readonly drafted: number; readonly accepted: number }[],
): number {
  let accepted = 0;
  let reached = 0;
  for (const round of rounds) {
    accepted += round.accepted;
    reached += round.accepted + (round.accepted < round.drafted ? 1 : 0);
  }
  return accepted / reached;
}
