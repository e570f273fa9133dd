/**
 * A world for the planner: texts whose suffix drafts match by given lengths and are accepted by given chances, and
 * rounds that cost a line in rows. Random under one seed; time is summed, never waited for.
 */

import { greedy } from '../../../shards/sampler.ts';
import { createDraftPlanner } from '../../../src/drafting/chooser.ts';
import {
  type Draft,
  type Drafter,
  type DraftPolicy,
  newDraftCounters,
  type Sequence,
} from '../../../src/drafting/drafter.ts';
import { createNoneDrafter } from '../../../src/drafting/none-drafter.ts';

export interface World {
  /** Share of rounds, match length, and chance of each position (the last one goes on). */
  readonly matches: readonly { share: number; matchLength: number; chances: readonly number[] }[];
  readonly fixedMs: number;
  readonly rowMs: number;
  /** Uniform noise of a round, ms either way. */
  readonly jitterMs: number;
  /** What one more row costs the others on the ring, and whether frames follow one another; left out: nothing, no. */
  readonly rowLoadMs?: number;
  readonly pipelined?: boolean;
  /** A local model: its chances, its time per token. */
  readonly model?: { readonly chances: readonly number[]; readonly tokenMs: number };
}

export function sequenceOf(id: string): Sequence {
  return { id, tokens: [1], promptLength: 1, prediction: null, owner: 'o', sampling: greedy };
}

export function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 4294967296;
  };
}

const wrongId = 999_999;

/** A drafter of 64 tokens whose true ids are always 0, 1, 2 …: `truth` says how many of a draft are right. */
function fakeDrafter(
  name: string,
  make: (count: number) => Pick<Draft, 'ids' | 'matchLength' | 'draftMs'>,
): Drafter {
  return {
    name,
    counters: newDraftCounters(),
    open() {},
    observe() {},
    draft: async (requests) =>
      requests.map(({ draftTokensMax }) => ({
        ...make(Math.min(64, draftTokensMax)),
        probs: null,
        confidence: null,
        source: name,
        reach: 1,
        offset: 0,
        fromPrediction: 0,
      })),
    close() {},
    async dispose() {},
  };
}

export interface WorldResult {
  readonly msPerToken: number;
  readonly shareOf: (source: string) => number;
  readonly lengths: readonly number[];
}

/** Runs one session of `rounds` rounds under a policy. */
export async function runWorld(
  world: World,
  policy: DraftPolicy,
  rounds: number,
  seed = 7,
): Promise<WorldResult> {
  const random = createRandom(seed);
  const rightOf = (chances: readonly number[], count: number): Uint32Array => {
    const ids = Uint32Array.from({ length: count }, (_, i) => i);
    for (let i = 0; i < count; i++)
      if (random() >= chances[Math.min(i, chances.length - 1)]!) return ids.fill(wrongId, i);
    return ids;
  };
  const ngram = fakeDrafter('ngram', (count) => {
    let point = random();
    const match = world.matches.find(({ share }) => {
      point -= share;
      return point < 0;
    });
    if (match === undefined) return { ids: new Uint32Array(0), matchLength: 0, draftMs: 0 };
    return { ids: rightOf(match.chances, count), matchLength: match.matchLength, draftMs: 0.1 };
  });
  const { model, rowLoadMs = 0, pipelined = false } = world;
  const lm =
    model === undefined
      ? null
      : fakeDrafter('lm', (count) => ({
          ids: rightOf(model.chances, count),
          matchLength: 0,
          draftMs: model.tokenMs * count,
        }));
  const planner = createDraftPlanner({
    none: createNoneDrafter(),
    ngram,
    models: lm === null ? [] : [lm],
    onFailure: () => {},
  });
  const sequence = sequenceOf('s');
  planner.open(sequence);
  const lengths: number[] = [];
  const bySource = new Map<string, number>();
  let ms = 0;
  let tokens = 0;
  for (let round = 0; round < rounds; round++) {
    const [draft] = await planner.draft(
      [{ sequence, draftTokensMax: 1000, policy, rowLoadMs, pipelined }],
      new AbortController().signal,
    );
    const { ids, source, draftMs } = draft!;
    let accepted = 0;
    while (accepted < ids.length && ids[accepted] === accepted) accepted++;
    // The target's own tokens are 0, 1, 2 …: a draft cut before its first error is also right about the bonus token.
    const verdict = {
      accepted,
      ids: Uint32Array.from({ length: accepted + 1 }, (_, i) => i),
      kind: accepted < ids.length ? ('recovered' as const) : ('bonus' as const),
      finished: false,
    };
    const roundMs = world.fixedMs + world.rowMs * (ids.length + 1) + world.jitterMs * (2 * random() - 1);
    planner.observe(sequence, { draft: draft!, verdict, roundMs });
    ms += roundMs + (source === 'lm' ? draftMs : 0);
    tokens += accepted + 1;
    lengths.push(ids.length);
    bySource.set(source, (bySource.get(source) ?? 0) + 1);
  }
  return { msPerToken: ms / tokens, shareOf: (source) => (bySource.get(source) ?? 0) / rounds, lengths };
}

/** The least ms per token that any one fixed length reaches in this world. */
export async function bestFixed(world: World, drafter: 'ngram' | 'lm', rounds: number): Promise<number> {
  let best = Infinity;
  for (const draftLength of [0, 1, 2, 3, 4, 6, 8, 12, 16, 32, 48, 64]) {
    best = Math.min(best, (await runWorld(world, { drafter, draftLength }, rounds)).msPerToken);
  }
  return best;
}
