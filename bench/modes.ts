/**
 * Ways of decoding that benchmarks set side by side. A mode is what one request asks for; the ring's shape comes with
 * it. `plain chain` is the base of every comparison.
 */
import type { Topology } from '../shards/open-message.ts';
import type { Verification } from '../shards/verification.ts';
import type { DraftPolicy } from '../src/drafting/drafter.ts';

export interface BenchMode {
  readonly name: string;
  readonly topology: Topology;
  readonly speculation: DraftPolicy;
  /** Share of the plain output's tokens that are changed in the request's prediction; null: no prediction. */
  readonly predictionEdits: number | null;
  /** The drafter knows answers to other prompts of the set (warm-store.ts). Left out: it knows none. */
  readonly warm?: boolean;
  /** Measured on every so many prompts: for a row that needs little to be told. Left out: on each. */
  readonly every?: number;
  /** Left out: coupled, lossless. */
  readonly verification?: Verification;
}

export const plainChain: BenchMode = {
  name: 'plain chain',
  topology: 'chain',
  speculation: { drafter: 'none', draftLength: 0, rounds: 'sync' },
  predictionEdits: null,
};

/** The slowest of all, and one token costs what another does: few prompts tell it. */
export const plainStar: BenchMode = { ...plainChain, name: 'plain star', topology: 'star', every: 4 };

/** Speculation over the chain; the draft length is the planner's choice unless it is given. */
export function speculative(
  name: string,
  speculation: Omit<DraftPolicy, 'draftLength'> & Partial<Pick<DraftPolicy, 'draftLength'>>,
  further: Partial<Pick<BenchMode, 'predictionEdits' | 'verification' | 'warm'>> = {},
): BenchMode {
  const policy = { draftLength: 'auto', ...speculation } as const;
  return { name, topology: 'chain', predictionEdits: null, ...further, speculation: policy };
}

/** Must its output equal that of plain decoding, id by id? */
export function isLossless({ verification }: BenchMode): boolean {
  return verification?.mode !== 'adaptive' || verification.tau === 0;
}

/** May frames of one answer be under way behind one another? */
export function overlaps({ speculation: { rounds = 'auto', drafter } }: BenchMode): boolean {
  return drafter !== 'none' && rounds !== 'sync';
}

/** The modes of those names, in the order of `all`, the base among them; null takes all. */
export function chosenModes(all: readonly BenchMode[], names: readonly string[] | null): BenchMode[] {
  return all.filter(({ name }) => names === null || name === plainChain.name || names.includes(name));
}
