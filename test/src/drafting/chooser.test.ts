import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDraftPlanner } from '../../../src/drafting/chooser.ts';
import { type Draft, type Drafter, emptyDraft, newDraftCounters } from '../../../src/drafting/drafter.ts';
import { createNoneDrafter } from '../../../src/drafting/none-drafter.ts';
import { createSuffixDrafter } from '../../../src/drafting/suffix-drafter.ts';
import { bestFixed, runWorld, sequenceOf, type World } from './chooser-simulation.ts';

const auto = { drafter: 'auto', draftLength: 'auto' } as const;
const signal = new AbortController().signal;

/** Shares and chances of suffix drafts on code, as measured on the default model. */
const codeMatches: World['matches'] = [
  { share: 0.3, matchLength: 1, chances: [0.28, 0.55, 0.62, 0.7] },
  { share: 0.2, matchLength: 2, chances: [0.49, 0.65, 0.72, 0.8] },
  { share: 0.1, matchLength: 3, chances: [0.63, 0.7, 0.76, 0.85] },
  { share: 0.1, matchLength: 5, chances: [0.53, 0.7, 0.75, 0.8] },
  { share: 0.1, matchLength: 20, chances: [0.89, 0.93, 0.95] },
];
const exactMatches: World['matches'] = [{ share: 1, matchLength: 32, chances: [0.985] }];
const wrongMatches: World['matches'] = [{ share: 0.8, matchLength: 2, chances: [0.02] }];
const flatMatches: World['matches'] = [{ share: 1, matchLength: 3, chances: [0.8] }];

for (const [name, matches] of Object.entries({ codeMatches, exactMatches, wrongMatches, flatMatches })) {
  for (const [fixedMs, jitterMs] of [
    [5, 1],
    [87, 5],
    [160, 20],
    [262, 5],
  ] as const) {
    test(`createDraftPlanner is within 5 % of the best fixed length: ${name}, ${fixedMs} ms`, async () => {
      const world = { matches, fixedMs, rowMs: 4, jitterMs };
      const rounds = 600;
      const chosen = (await runWorld(world, auto, rounds)).msPerToken;
      const best = await bestFixed(world, 'ngram', rounds);
      assert.ok(chosen <= 1.05 * best, `${chosen.toFixed(2)} ms against ${best.toFixed(2)} ms`);
    });
  }
}

test('createDraftPlanner drafts 16 tokens of a long match at once and 32 soon', async () => {
  const { lengths } = await runWorld(
    { matches: exactMatches, fixedMs: 160, rowMs: 1.5, jitterMs: 0 },
    auto,
    12,
  );
  assert.ok(lengths[0]! >= 12, `${lengths}`);
  assert.ok(Math.max(...lengths.slice(0, 6)) >= 28, `${lengths}`);
});

test('createDraftPlanner still drafts where the fitted time of a short round is zero: frames that flow', async () => {
  const world = { matches: exactMatches, fixedMs: -40, rowMs: 4, jitterMs: 0, pipelined: true };
  const { lengths } = await runWorld(world, auto, 40);
  assert.ok(
    lengths.every((length) => length > 0),
    `${lengths}`,
  );
});

for (const pipelined of [false, true]) {
  test(`createDraftPlanner drafts less the more its rows cost others: ${pipelined ? 'frames that flow' : 'rounds'}`, async () => {
    const world = { matches: flatMatches, fixedMs: 87, rowMs: 4, jitterMs: 0, pipelined };
    const lengths = [];
    for (const rowLoadMs of [0, 8, 24]) {
      const { lengths: drafted } = await runWorld({ ...world, rowLoadMs }, auto, 200);
      lengths.push(drafted.slice(50).reduce((sum, length) => sum + length, 0) / 150);
    }
    const [alone, beside, crowded] = lengths;
    assert.ok(beside! < 0.8 * alone! && crowded! < 0.8 * beside!, `${lengths}`);
  });
}

test('createDraftPlanner stops drafting what never pays and still tries again', async () => {
  const world = { matches: wrongMatches, fixedMs: 5, rowMs: 4, jitterMs: 0 };
  const { lengths } = await runWorld(world, auto, 400);
  const later = lengths.slice(100);
  assert.ok(later.filter((length) => length > 0).length <= 12, `${later}`);
  assert.ok(
    later.some((length) => length > 0),
    'no probe',
  );
});

test('createDraftPlanner picks the source with the better price', async () => {
  const links = { fixedMs: 87, rowMs: 4, jitterMs: 2 };
  const good = { chances: [0.85], tokenMs: 5 };
  const weak = { matches: codeMatches, model: good, ...links };
  assert.ok((await runWorld(weak, auto, 600)).shareOf('lm') > 0.6);
  const copying = { matches: exactMatches, model: good, ...links };
  assert.ok((await runWorld(copying, auto, 600)).shareOf('ngram') > 0.9);
  const slow = { matches: codeMatches, model: { chances: [0.3], tokenMs: 60 }, ...links };
  const result = await runWorld(slow, auto, 600);
  assert.ok(result.shareOf('lm') < 0.1, `${result.shareOf('lm')}`);
  const best = Math.min(await bestFixed(weak, 'lm', 600), await bestFixed(weak, 'ngram', 600));
  assert.ok((await runWorld(weak, auto, 600)).msPerToken <= 1.05 * best);
});

test('createDraftPlanner sends the copy that fared better, and learns of both', async () => {
  const right = Uint32Array.of(1, 2, 3, 4);
  const wrong = Uint32Array.of(9, 9, 9, 9);
  const fromText: Draft = { ...emptyDraft, source: 'ngram', ids: wrong, matchLength: 3 };
  const fromEarlier = { ...fromText, ids: right, fromEarlier: true };
  const ngram: Drafter = {
    ...createNoneDrafter(),
    name: 'ngram',
    draft: async (requests) => requests.map(() => ({ ...fromText, rival: fromEarlier })),
  };
  for (const pipelined of [false, true]) {
    const planner = createDraftPlanner({ none: createNoneDrafter(), ngram, models: [], onFailure: () => {} });
    const sequence = sequenceOf('s');
    const sent: boolean[] = [];
    for (let round = 0; round < 12; round++) {
      const [draft] = await planner.draft([{ sequence, draftTokensMax: 9, pipelined }], signal);
      const isRight = draft!.fromEarlier === true;
      sent.push(isRight);
      assert.equal(draft!.rival, undefined);
      const accepted = isRight ? draft!.ids.length : 0;
      const verdict = { accepted, ids: Uint32Array.of(...right, 5), kind: 'bonus', finished: false } as const;
      planner.observe(sequence, { draft: draft!, verdict, roundMs: 100 });
    }
    assert.equal(sent[0], false, 'a match in the text is trusted more at first');
    assert.ok(sent.slice(6).every(Boolean), `${sent}`);
  }
});

test('createDraftPlanner keeps to the policy and to what may still be committed', async () => {
  const planner = createDraftPlanner({
    none: createNoneDrafter(),
    ngram: createSuffixDrafter({ now: () => 0 }),
    models: [],
    onFailure: () => {},
  });
  const tokens = [1, 2, 3, 1, 2, 3, 1, 2, 3];
  const sequence = { ...sequenceOf('p'), tokens, promptLength: tokens.length };
  planner.open(sequence);
  const lengths = await planner.draft(
    [
      { sequence, draftTokensMax: 50, policy: { drafter: 'ngram', draftLength: 7 } },
      { sequence, draftTokensMax: 3, policy: { drafter: 'auto', draftLength: 7 } },
      { sequence, draftTokensMax: 50, policy: { drafter: 'ngram', draftLength: 0 } },
      { sequence, draftTokensMax: 50, policy: { drafter: 'none', draftLength: 'auto' } },
      { sequence, draftTokensMax: 50, policy: { drafter: 'lm', draftLength: 4 } },
      { sequence, draftTokensMax: 0 },
      { sequence, draftTokensMax: 500, policy: { drafter: 'ngram', draftLength: 64 } },
    ],
    signal,
  );
  assert.deepEqual(
    lengths.map(({ ids, source }) => [ids.length, source]),
    [
      [7, 'ngram'],
      [3, 'ngram'],
      [0, 'none'],
      [0, 'none'],
      [0, 'none'],
      [0, 'none'],
      [64, 'ngram'],
    ],
  );
  await planner.dispose();
});

test('createDraftPlanner cuts the prediction count with the draft and counts by source', async () => {
  const planner = createDraftPlanner({
    none: createNoneDrafter(),
    ngram: createSuffixDrafter({ now: () => 0 }),
    models: [],
    onFailure: () => {},
  });
  const sequence = {
    ...sequenceOf('c'),
    tokens: [1, 2, 3],
    promptLength: 3,
    prediction: Uint32Array.of(7, 8, 9),
  };
  const policy = { drafter: 'ngram', draftLength: 2 } as const;
  const [draft] = await planner.draft([{ sequence, draftTokensMax: 50, policy }], signal);
  assert.deepEqual([[...draft!.ids], draft!.fromPrediction], [[7, 8], 2]);
  const verdict = { accepted: 1, ids: Uint32Array.of(7, 5), kind: 'recovered', finished: false } as const;
  planner.observe(sequence, { draft: draft!, verdict, roundMs: 80 });
  const ngram = planner.countersBySource.get('ngram')!;
  assert.deepEqual([ngram.drafted, ngram.accepted, ngram.offeredAt, ngram.acceptedAt], [2, 1, [1, 1], [1]]);
  assert.equal(planner.countersBySource.get('none')!.drafts, 0);
  assert.equal(planner.counters.drafted, 2);
});

test('createDraftPlanner goes on without a source that fails, and stops when aborted', async () => {
  const failing: Drafter = {
    name: 'lm',
    counters: newDraftCounters(),
    open() {},
    observe() {},
    draft: () => Promise.reject(new Error('out of memory')),
    close() {},
    async dispose() {},
  };
  const failures: unknown[] = [];
  const planner = createDraftPlanner({
    none: createNoneDrafter(),
    ngram: createSuffixDrafter({ now: () => 0 }),
    models: [failing],
    onFailure: (source, error) => failures.push([source, (error as Error).message]),
  });
  const sequence = { ...sequenceOf('f'), tokens: [1, 2, 3], promptLength: 3 };
  const policy = { drafter: 'lm', draftLength: 4 } as const;
  const [draft] = await planner.draft([{ sequence, draftTokensMax: 50, policy }], signal);
  assert.deepEqual({ ...draft }, { ...emptyDraft });
  assert.deepEqual(failures, [['lm', 'out of memory']]);
  const aborted = AbortSignal.abort(new Error('client left'));
  await assert.rejects(planner.draft([{ sequence, draftTokensMax: 50 }], aborted), /client left/);
});

test('createDraftPlanner opens a sequence only at the sources that its policy may ask', () => {
  const opened: string[] = [];
  const recording = (name: string): Drafter => ({
    ...createNoneDrafter(),
    name,
    open: () => void opened.push(name),
  });
  const planner = createDraftPlanner({
    none: createNoneDrafter(),
    ngram: recording('ngram'),
    models: [recording('lm')],
    onFailure: () => {},
  });
  planner.open(sequenceOf('a'));
  assert.deepEqual(opened.splice(0), ['ngram', 'lm']);
  planner.open(sequenceOf('b'), { drafter: 'ngram', draftLength: 'auto' });
  assert.deepEqual(opened.splice(0), ['ngram']);
  planner.open(sequenceOf('c'), { drafter: 'none', draftLength: 'auto' });
  assert.deepEqual(opened, []);
});

for (const pipelined of [false, true]) {
  test(`createDraftPlanner lets a head that knows its confidence end its drafts, and leaves it where it is unsure: ${pipelined ? 'frames that flow' : 'rounds'}`, async () => {
    const asked: (number | undefined)[] = [];
    let chances = [0.9, 0.9, 0.9, 0.9];
    const head: Drafter = {
      ...createNoneDrafter(),
      name: 'head',
      draft: async (requests) =>
        requests.map(({ reachMin }) => {
          asked.push(reachMin);
          const confidence = Float32Array.from(chances);
          return {
            ...emptyDraft,
            ids: Uint32Array.of(50, 51, 52, 53),
            confidence,
            source: 'head',
            draftMs: 5,
          };
        }),
    };
    const planner = createDraftPlanner({
      none: createNoneDrafter(),
      ngram: createSuffixDrafter({ now: () => 0 }),
      models: [head],
      onFailure: (_source, error) => assert.fail(error as Error),
    });
    const tokens = [1, 2, 3, 4, 1, 2, 3, 4, 1];
    const sequence = { ...sequenceOf('h'), tokens, promptLength: tokens.length };
    const draftOnce = async (): Promise<string> => {
      const [draft] = await planner.draft([{ sequence, draftTokensMax: 50, pipelined }], signal);
      const right = draft!.source === 'head';
      const ids = right ? Uint32Array.of(...draft!.ids, 9) : Uint32Array.of(9);
      const kind = right ? ('bonus' as const) : ('recovered' as const);
      const verdict = { accepted: ids.length - 1, ids, kind, finished: false };
      planner.observe(sequence, { draft: draft!, verdict, roundMs: 100 + 4 * draft!.ids.length });
      return draft!.source;
    };
    for (let round = 0; round < 40; round++) await draftOnce();
    assert.equal(await draftOnce(), 'head');
    assert.ok(asked.at(-1)! > 0.01 && asked.at(-1)! < 0.5, `${asked.at(-1)}`);
    chances = [0.02, 0.02, 0.02, 0.02];
    assert.notEqual(await draftOnce(), 'head');
    await planner.dispose();
  });
}
