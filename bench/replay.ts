/**
 * What a drafter would have drafted for an output that is known: it is asked behind every token that a lossless round
 * would have reached, and told what became of its draft. Links play no part; its own time is real.
 */
import { greedy } from '../shards/sampler.ts';
import {
  countOutcome,
  type DraftCounters,
  type Drafter,
  type DraftPolicy,
  newDraftCounters,
} from '../src/drafting/drafter.ts';

export interface KnownOutput {
  readonly id: string;
  readonly promptIds: readonly number[];
  /** At least one. */
  readonly ids: readonly number[];
}

export interface ReplayTotals {
  rounds: number;
  /** Tokens made final by those rounds. */
  tokens: number;
  readonly counters: DraftCounters;
  /** Drafting time of each round that drafted, per token, ms. */
  readonly tokenMs: number[];
}

export function newReplayTotals(): ReplayTotals {
  return { rounds: 0, tokens: 0, counters: newDraftCounters(), tokenMs: [] };
}

/** Adds one output; `roundMs` is what the drafter is told of rounds by their rows. */
export async function replayOutput(
  drafter: Drafter,
  { id, promptIds, ids }: KnownOutput,
  options: {
    readonly draftTokensMax: number;
    readonly policy: DraftPolicy;
    readonly roundMs: (rows: number) => number;
  },
  totals: ReplayTotals,
): Promise<void> {
  const { policy, roundMs } = options;
  const tokens = [...promptIds, ids[0]];
  const sequence = {
    ...{ id, tokens, promptLength: promptIds.length, prediction: null, owner: id, sampling: greedy },
  };
  const { signal } = new AbortController();
  drafter.open(sequence, policy);
  for (let next = 1; next < ids.length; ) {
    const draftTokensMax = Math.min(options.draftTokensMax, ids.length - next - 1);
    const [draft] = await drafter.draft([{ sequence, draftTokensMax, policy }], signal);
    let accepted = 0;
    while (accepted < draft.ids.length && draft.ids[accepted] === ids[next + accepted]) accepted += 1;
    const committed = Uint32Array.from(ids.slice(next, next + accepted + 1));
    const kind = accepted < draft.ids.length ? 'recovered' : 'bonus';
    const verdict = { accepted, ids: committed, kind, finished: false } as const;
    const outcome = { draft, verdict, roundMs: roundMs(draft.ids.length + 1) };
    tokens.push(...committed);
    drafter.observe(sequence, outcome);
    countOutcome(totals.counters, outcome);
    totals.rounds += 1;
    totals.tokens += committed.length;
    if (draft.ids.length > 0) totals.tokenMs.push(draft.draftMs / draft.ids.length);
    next += committed.length;
  }
  drafter.close(sequence);
}
