/** Forced text around a planner: drafted for free, guesses cut where the grammar refuses them, and told apart when judged. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../../shards/clock.ts';
import type { Trace } from '../../../shards/grammar-call.ts';
import { greedy } from '../../../shards/sampler.ts';
import type { DraftPlanner } from '../../../src/drafting/chooser.ts';
import {
  type Draft,
  type DraftOutcome,
  type DraftPolicy,
  emptyDraft,
  newDraftCounters,
  type Sequence,
} from '../../../src/drafting/drafter.ts';
import { withForcedDrafts } from '../../../src/drafting/forced-drafts.ts';

/** Ids are characters here. */
const idsOf = (text: string): number[] => [...text].map((character) => character.charCodeAt(0));
const textOf = (ids: Iterable<number>): string => String.fromCharCode(...ids);

const sequence: Sequence = {
  ...{ id: 's', tokens: idsOf('prompt'), promptLength: 6, prediction: null, owner: '', sampling: greedy },
  grammar: { ebnf: 'root ::= "forced text"', eosIds: [0] },
};
const signal = new AbortController().signal;

/** `guess`: what the planner drafts. `traceOf`: what the grammar says of guesses, once `opened`. */
function build(guess: Partial<Draft>, traceOf: (guesses: string) => Trace, opened = Promise.resolve()) {
  const heard: DraftOutcome[] = [];
  let asked = 0;
  const planner: DraftPlanner = {
    ...{ name: 'auto', counters: newDraftCounters(), countersBySource: new Map() },
    open() {},
    observe: (_sequence, outcome) => void heard.push(outcome),
    draftNow: () => null,
    async draft(requests) {
      asked += 1;
      return requests.map(() => ({ ...emptyDraft, source: 'ngram', ...guess }));
    },
    close() {},
    async dispose() {},
  };
  const drafter = withForcedDrafts({
    planner,
    grammars: {
      async open() {
        await opened;
        return {
          masks: () => Promise.reject(new Error('the gateway asks for no masks')),
          trace: async (_known, guesses) => traceOf(textOf(guesses)),
          close() {},
        };
      },
    },
    encodeBehind: (_before, text) => idsOf(text),
    clock: systemClock,
    onFailure: (error) => assert.fail(String(error)),
  });
  drafter.open(sequence);
  const draft = async (
    drafter_: DraftPolicy['drafter'] = 'auto',
    max = 50,
    length: 'auto' | number = 'auto',
  ) =>
    (
      await drafter.draft(
        [{ sequence, draftTokensMax: max, policy: { drafter: drafter_, draftLength: length } }],
        signal,
      )
    )[0]!;
  return { drafter, draft, heard, asked: () => asked };
}

const verdictOn = (ids: string, accepted: number): DraftOutcome['verdict'] => ({
  ...{ accepted, ids: Uint32Array.from(idsOf(ids)), kind: 'recovered', finished: false },
});

test('long forced text is a draft by itself, and no model is asked', async () => {
  const { draft, asked, drafter, heard } = build({}, () => ({
    allowed: 0,
    forcedFirst: 'forced',
    forced: 'forced',
  }));
  const drafted = await draft();
  assert.deepEqual([textOf(drafted.ids), drafted.source, asked()], ['forced', 'grammar', 0]);
  drafter.observe(sequence, { draft: drafted, verdict: verdictOn('for!', 3), roundMs: 10 });
  const counters = drafter.countersBySource.get('grammar')!;
  assert.deepEqual([counters.drafts, counters.drafted, counters.accepted], [1, 6, 3]);
  assert.equal(heard.length, 1, 'the planner learns the time of the round');
});

test('a guess is cut where the grammar refuses it, forced text goes behind, and each is judged for itself', async () => {
  const { draft, drafter, heard } = build({ ids: Uint32Array.from(idsOf('abXYZ')) }, (guesses) =>
    guesses === ''
      ? { allowed: 0, forcedFirst: '', forced: '' }
      : { allowed: 2, forcedFirst: '', forced: 'cd ' },
  );
  const drafted = await draft();
  assert.deepEqual([textOf(drafted.ids), drafted.source], ['abcd', 'ngram']);
  drafter.observe(sequence, { draft: drafted, verdict: verdictOn('abc!', 3), roundMs: 10 });
  const [outcome] = heard;
  assert.equal(textOf(outcome!.draft.ids), 'abXYZ');
  assert.deepEqual([outcome!.verdict.accepted, textOf(outcome!.verdict.ids)], [2, 'abc']);
  assert.equal(outcome!.roundRows, 5);
  const counters = drafter.countersBySource.get('grammar')!;
  assert.deepEqual([counters.drafted, counters.accepted], [2, 1]);
});

test('a named source is cut and gets nothing behind it; lengths are kept', async () => {
  const guess = { ids: Uint32Array.from(idsOf('abX')) };
  const trace = (guesses: string): Trace => ({
    allowed: guesses === '' ? 0 : 2,
    forcedFirst: 'ab',
    forced: 'cd',
  });
  assert.equal(textOf((await build(guess, trace).draft('ngram')).ids), 'ab');
  assert.equal(textOf((await build(guess, trace).draft('grammar')).ids), 'ab');
  assert.equal(textOf((await build(guess, trace).draft('auto', 3)).ids), 'abc');
  assert.equal(textOf((await build(guess, trace).draft('auto', 50, 2)).ids), 'ab');
  assert.equal((await build(guess, trace).draft('none')).ids.length, 3, 'the planner decides');
});

test('drafts that were drawn from a law are left as they are', async () => {
  const guess = { ids: Uint32Array.from(idsOf('X')), probs: [] };
  const { draft } = build(guess, () => ({ allowed: 0, forcedFirst: '', forced: 'abc' }));
  assert.equal(textOf((await draft()).ids), 'X');
});

test('where the model cuts words otherwise, forced text is believed less and drafted shorter', async () => {
  const { draft, drafter } = build({}, () => ({
    allowed: 0,
    forcedFirst: 'x'.repeat(50),
    forced: 'x'.repeat(50),
  }));
  const lengths: number[] = [];
  for (let round = 0; round < 12; round++) {
    const drafted = await draft('grammar');
    lengths.push(drafted.ids.length);
    drafter.observe(sequence, { draft: drafted, verdict: verdictOn('!', 0), roundMs: 10 });
  }
  assert.ok(lengths[0]! > 15 && lengths.at(-1)! < 6, String(lengths));
});

test('a draft does not wait for a grammar that is still being compiled, and heeds it from then on', async () => {
  const { promise: opened, resolve: open } = Promise.withResolvers<void>();
  const guess = { ids: Uint32Array.from(idsOf('guess')) };
  const { draft } = build(guess, () => ({ allowed: 0, forcedFirst: 'forced', forced: '' }), opened);
  assert.equal(textOf((await draft()).ids), 'guess');
  open();
  await opened;
  assert.equal(textOf((await draft()).ids), 'forced');
});
