/**
 * Offline acceptance of drafters on saved outputs: what a lossless draft commits per round (E) and what that is worth on
 * links, without the target. It replays each output through the real planner and drafters; a round takes
 * `fixed + row * (draft + 1)` ms, and a head drafts a token in `td` ms, so the figures do not depend on the machine.
 *
 *   node bench/simulate-acceptance.ts FILE [--fixed 87] [--row 4] [--model FILE.gguf] [--head MANIFEST.json] [--td 1.3]
 *
 * With a model its draft head is replayed beside the suffix index; without --head the one that is known for the model.
 * FILE holds one JSON object a line: {"set": "code", "prompt": [ids], "ids": [ids], "prediction": [ids]}; set and
 * prediction may be left out.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { greedy } from '../shards/sampler.ts';
import { findDraftHead } from '../src/draft-heads.ts';
import { createDraftPlanner, type DraftPlanner } from '../src/drafting/chooser.ts';
import type { DraftCounters, Drafter, DraftPolicy } from '../src/drafting/drafter.ts';
import { bestGamma } from '../src/drafting/gamma-star.ts';
import { startLmDrafter } from '../src/drafting/lm-drafter.ts';
import { createNoneDrafter } from '../src/drafting/none-drafter.ts';
import { createSuffixDrafter } from '../src/drafting/suffix-drafter.ts';
import { readGguf } from '../src/models/gguf.ts';
import { readHeadFile } from '../src/models/head-file.ts';
import { packHead } from '../src/models/head-pack.ts';
import { createTokenizer } from '../src/text/tokenizer.ts';

interface SavedOutput {
  readonly set?: string;
  readonly prompt: readonly number[];
  readonly ids: readonly number[];
  readonly prediction?: readonly number[];
}

interface Costs {
  readonly fixedMs: number;
  readonly rowMs: number;
}

interface Totals {
  rounds: number;
  tokens: number;
  drafted: number;
  accepted: number;
  ms: number;
}

const lengths = [0, 2, 4, 8, 16, 'auto'] as const;

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    fixed: { type: 'string', default: '87' },
    row: { type: 'string', default: '4' },
    model: { type: 'string' },
    head: { type: 'string' },
    td: { type: 'string', default: '1.3' },
  },
});
const costs = { fixedMs: Number(values.fixed), rowMs: Number(values.row) };
const headTokenMs = Number(values.td);
const headDrafters = values.model === undefined ? ([] as const) : (['head', 'auto'] as const);
const outputs = readFileSync(positionals[0]!, 'utf8')
  .split('\n')
  .filter((line) => line !== '')
  .map((line) => JSON.parse(line) as SavedOutput);

console.log(
  `round = ${costs.fixedMs} + ${costs.rowMs} ms a row; E = tokens a round, x = against plain decoding`,
);
for (const set of new Set(outputs.map((output) => output.set))) await report(set);

async function report(set: string | undefined): Promise<void> {
  const texts = outputs.filter((output) => output.set === set);
  console.log(`${set ?? 'all'}, ${texts.length} texts`);
  for (const drafter of ['ngram', ...headDrafters] as const) {
    for (const draftLength of lengths) {
      const { totals, positions } = await replay(texts, { drafter, draftLength });
      const plainMs = totals.tokens * (costs.fixedMs + costs.rowMs);
      console.log(
        `  ${drafter} ${draftLength}: E ${(totals.tokens / totals.rounds).toFixed(2)} x${(plainMs / totals.ms).toFixed(2)}, ` +
          `${(totals.drafted / totals.rounds).toFixed(1)} drafted${draftLength === 'auto' ? oneAlpha(totals) : ''}`,
      );
      if (positions !== null) console.log(`    by position: ${positions}`);
    }
  }
}

/** Chance of each position, given that those before it were right. */
function byPosition({ offeredAt, acceptedAt }: DraftCounters): string {
  const shown = offeredAt.slice(0, 8).map((offered, i) => ((acceptedAt[i] ?? 0) / offered).toFixed(2));
  return shown.join(' ');
}

/** What one alpha for all drafts would have advised: short, since it cannot know that later tokens are surer. */
function oneAlpha({ accepted, rounds }: Totals): string {
  const alpha = accepted / (accepted + rounds);
  if (alpha === 0) return '';
  const gamma = bestGamma(alpha, { fixedMs: costs.fixedMs + costs.rowMs, perTokenMs: costs.rowMs });
  return `; one alpha would be ${alpha.toFixed(2)} and ask for ${gamma}`;
}

/** The head of the model in its own thread, with `td` for its time. */
async function startHead(): Promise<Drafter> {
  const target = await readGguf(values.model!);
  const targetSha256 = createHash('sha256').update(readFileSync(values.model!)).digest('hex');
  const manifest = values.head ?? (await findDraftHead('', targetSha256));
  if (manifest === null) throw new Error(`no draft head is known for ${values.model}; give one with --head`);
  const pack = await packHead({
    head: await readHeadFile(manifest),
    target,
    targetSha256,
    packsDirectory: join(tmpdir(), 'foretoken-simulated-packs'),
  });
  const { vocabSize, eosIds } = createTokenizer(target.metadata);
  const head = await startLmDrafter({
    name: 'head',
    model: {
      ...pack,
      threads: 1,
      minRows: 1,
      kvBytesMax: 2 ** 28,
      targetVocab: vocabSize,
      eosIds,
    },
    now: () => 0,
    onFailure: (error) => console.error(error),
  });
  return {
    ...head,
    draft: async (requests, signal) =>
      (await head.draft(requests, signal)).map((draft) => ({
        ...draft,
        draftMs: headTokenMs * (draft.ids.length + 1),
      })),
  };
}

/** One planner for all texts of a set, as one gateway would have. */
async function replay(
  texts: readonly SavedOutput[],
  policy: DraftPolicy,
): Promise<{ totals: Totals; positions: string | null }> {
  const head = policy.drafter === 'ngram' ? null : await startHead();
  const planner = createDraftPlanner({
    none: createNoneDrafter(),
    ngram: createSuffixDrafter({ now: () => 0 }),
    models: head === null ? [] : [head],
    onFailure: (source, error) => console.error(source, error),
  });
  const totals = { rounds: 0, tokens: 0, drafted: 0, accepted: 0, ms: 0 };
  for (const [i, text] of texts.entries()) await replayText(planner, `${i}`, text, policy, costs, totals);
  await planner.dispose();
  return { totals, positions: head === null ? null : byPosition(head.counters) };
}

async function replayText(
  planner: DraftPlanner,
  id: string,
  { prompt, ids, prediction }: SavedOutput,
  policy: DraftPolicy,
  { fixedMs, rowMs }: Costs,
  totals: Totals,
): Promise<void> {
  const tokens = [...prompt, ids[0]!];
  const predicted = prediction === undefined ? null : Uint32Array.from(prediction);
  const sequence = {
    id,
    tokens,
    promptLength: prompt.length,
    prediction: predicted,
    owner: 'o',
    sampling: greedy,
  };
  const { signal } = new AbortController();
  planner.open(sequence);
  for (let next = 1; next < ids.length; ) {
    const draftTokensMax = ids.length - next - 1;
    const draft = (await planner.draft([{ sequence, draftTokensMax, policy }], signal))[0]!;
    let accepted = 0;
    while (accepted < draft.ids.length && draft.ids[accepted] === ids[next + accepted]) accepted += 1;
    const committed = Uint32Array.from(ids.slice(next, next + accepted + 1));
    const kind = accepted < draft.ids.length ? 'recovered' : 'bonus';
    const roundMs = fixedMs + rowMs * (draft.ids.length + 1);
    const draftMs = draft.source === 'head' ? draft.draftMs : 0;
    tokens.push(...committed);
    planner.observe(sequence, {
      draft,
      verdict: { accepted, ids: committed, kind, finished: false },
      roundMs,
    });
    totals.rounds += 1;
    totals.tokens += committed.length;
    totals.drafted += draft.ids.length;
    totals.accepted += accepted;
    totals.ms += roundMs + draftMs;
    next += committed.length;
  }
  planner.close(sequence);
}
