/**
 * What decoding over a ring of links should cost, ms per token (Decentralized Speculative Decoding, arXiv 2511.11733,
 * with H links per pass in place of its N - 1). The counted form takes draft lengths and tokens as they happened and is
 * what measurements are judged by; the closed form assumes one alpha for every position and stands beside it.
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

/** What the counted form needs of a round. */
export interface CountedRound {
  readonly rows: number;
  readonly draftMs: number;
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

/** (draft time + H·t1 + tv(rows)) / E with rows and E as counted; `tvMs` gives a pass's compute for its rows. */
export function countedMsPerToken(
  rounds: readonly CountedRound[],
  tokens: number,
  link: { readonly hops: number; readonly t1Ms: number },
  tvMs: (rows: number) => number,
): number {
  let totalMs = 0;
  for (const { rows, draftMs } of rounds) totalMs += draftMs + link.hops * link.t1Ms + tvMs(rows);
  return totalMs / tokens;
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
