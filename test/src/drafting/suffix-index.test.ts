import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { boundary, NgramChains } from '../../../src/drafting/ngram-chains.ts';
import { createSuffixIndex, type SuffixDraft } from '../../../src/drafting/suffix-index.ts';

const none = new Uint32Array(0);

function draftOf(prompt: number[], count: number, prediction: number[] | null = null): SuffixDraft {
  const index = createSuffixIndex({
    prompt,
    prediction: prediction === null ? null : Uint32Array.from(prediction),
  });
  return index.draft(count);
}

/** The same rule by brute force over one document: every earlier end, every suffix length, every continuation. */
function naiveDraft(text: number[], count: number): { ids: number[]; matchLength: number } {
  const last = text.length - 1;
  const lengths = text.map((_, end) => {
    let n = 0;
    while (n < 32 && n <= end && end < last && text[end - n] === text[last - n]) n++;
    return n;
  });
  let best = { ids: [] as number[], matchLength: 0, score: 0 };
  for (let matchLength = 32; matchLength > 0; matchLength--) {
    let ends = lengths.flatMap((n, end) => (n >= matchLength ? [end] : []));
    if (!lengths.includes(matchLength)) continue;
    const ids: number[] = [];
    let share = 1;
    let score = 0;
    while (ids.length < count) {
      const at = (end: number): number => [...text, ...ids][end + 1 + ids.length]!;
      const votes = new Map<number, number>();
      for (const end of ends) votes.set(at(end), (votes.get(at(end)) ?? 0) + 1);
      const most = Math.max(...votes.values());
      const chosen = at(ends.filter((end) => votes.get(at(end)) === most).at(-1)!);
      share *= most / ends.length;
      score += share;
      ends = ends.filter((end) => at(end) === chosen);
      ids.push(chosen);
    }
    if (score > best.score + 1e-9) best = { ids, matchLength, score };
  }
  return best;
}

test('createSuffixIndex drafts what the brute-force rule drafts', () => {
  // At most 64 tokens: below that no chain is cut short, so the two must agree exactly.
  const text = fc.array(fc.nat(3), { minLength: 1, maxLength: 64 });
  fc.assert(
    fc.property(text, fc.integer({ min: 1, max: 16 }), (ids, count) => {
      const draft = draftOf(ids, count);
      const expected = naiveDraft(ids, count);
      assert.deepEqual([...draft.ids], expected.ids);
      assert.equal(draft.matchLength, expected.matchLength);
    }),
    { numRuns: 500 },
  );
});

test('createSuffixIndex does not care how the context was fed', () => {
  const text = fc.array(fc.nat(5), { minLength: 2, maxLength: 700 });
  fc.assert(
    fc.property(text, fc.nat(), (ids, cut) => {
      const split = cut % ids.length;
      const index = createSuffixIndex({ prompt: ids.slice(0, split), prediction: null });
      for (const id of ids.slice(split)) index.append(id);
      assert.deepEqual(index.draft(8), draftOf(ids, 8));
    }),
    { numRuns: 60 },
  );
});

test('createSuffixIndex copies past the end of the context into the copy itself', () => {
  assert.deepEqual([...draftOf([9, 1, 2, 3, 1, 2, 3], 8).ids], [1, 2, 3, 1, 2, 3, 1, 2]);
  assert.deepEqual([...draftOf([5, 5], 4).ids], [5, 5, 5, 5]);
});

test('createSuffixIndex drafts nothing without a match or room', () => {
  assert.deepEqual(draftOf([1, 2, 3], 8), { ids: none, matchLength: 0, fromPrediction: 0, score: 0 });
  assert.equal(draftOf([], 8).ids.length, 0);
  assert.equal(draftOf([1, 1], 0).ids.length, 0);
});

test('createSuffixIndex drafts the prediction before the first output token', () => {
  const draft = draftOf([1, 2, 3], 8, [10, 11, 12]);
  assert.deepEqual([...draft.ids], [10, 11, 12]);
  assert.equal(draft.matchLength, 3);
  assert.equal(draft.fromPrediction, 3);
});

test('createSuffixIndex finds its place in the prediction again after an edit', () => {
  const prediction = Array.from({ length: 40 }, (_, i) => 100 + i);
  const index = createSuffixIndex({ prompt: [1, 2, 3], prediction: Uint32Array.from(prediction) });
  for (const id of [100, 101, 102, 777, 104, 105]) index.append(id);
  const draft = index.draft(5);
  assert.deepEqual([...draft.ids], [106, 107, 108, 109, 110]);
  assert.equal(draft.fromPrediction, 5);
  assert.equal(draft.matchLength, 2);
});

test('createSuffixIndex gives a tie to the prediction and counts the prefix that it shares', () => {
  const after = (prompt: number[], prediction: number[], output: number[], count: number): SuffixDraft => {
    const index = createSuffixIndex({ prompt, prediction: Uint32Array.from(prediction) });
    for (const id of output) index.append(id);
    return index.draft(count);
  };
  // Prompt and prediction both continue 1 2: one with 3, the other with 4.
  const tie = after([1, 2, 3, 3], [7, 1, 2, 4], [1, 2], 1);
  assert.deepEqual([[...tie.ids], tie.fromPrediction], [[4], 1]);
  // Both say 3 8; then the prediction ends.
  const shared = after([1, 2, 3, 8, 9, 9], [7, 1, 2, 3, 8], [1, 2], 3);
  assert.deepEqual([[...shared.ids], shared.fromPrediction], [[3, 8, 9], 2]);
  const other = after([5, 1, 2, 3, 8], [6], [5, 1, 2], 3);
  assert.deepEqual([[...other.ids], other.fromPrediction], [[3, 8, 5], 0]);
});

test('createSuffixIndex drafts from earlier outputs apart from the text', () => {
  const earlier = new NgramChains({ tokensMax: 1000 });
  for (const id of [boundary, 1, 2, 3, 4, 5, 6, boundary]) earlier.append(id);
  const fresh = createSuffixIndex({ prompt: [9, 1, 2], prediction: null, earlier });
  assert.deepEqual([...fresh.draftFromEarlier(8).ids], [3, 4, 5, 6]);
  assert.deepEqual([...fresh.draft(8).ids], []);
  const known = createSuffixIndex({ prompt: [1, 2, 7, 7, 1, 2], prediction: null, earlier });
  assert.deepEqual([...known.draft(2).ids], [7, 7]);
  assert.deepEqual([...known.draftFromEarlier(2).ids], [3, 4]);
  const alone = createSuffixIndex({ prompt: [1, 2, 7, 7, 1, 2], prediction: null });
  assert.deepEqual([...alone.draftFromEarlier(2).ids], []);
});

test('NgramChains forgets the older half above its limit and still matches the rest', () => {
  const chains = new NgramChains({ tokensMax: 1024 });
  for (let i = 0; i < 10_000; i++) chains.append(i);
  assert.ok(chains.length <= 1024);
  const found: { end: number; length: number }[] = [];
  chains.collect(Int32Array.from([9_989, 9_990]), found as never);
  assert.equal(found.length, 1);
  assert.equal(chains.at(found[0]!.end), 9_990);
  chains.collect(Int32Array.from([1, 2]), found as never);
  assert.equal(found.length, 1);
});

test('createSuffixIndex drafts 64 tokens of an 8k context well within a millisecond', () => {
  let state = 1;
  const random = (n: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % n;
  };
  // The worst text: few words, so every chain is walked to its limit and most continuations disagree.
  const index = createSuffixIndex({
    prompt: Array.from({ length: 8000 }, () => random(6)),
    prediction: null,
  });
  const rounds = 200;
  for (let i = 0; i < 20; i++) index.draft(64);
  const start = performance.now();
  for (let i = 0; i < rounds; i++) {
    index.append(random(6));
    index.draft(64);
  }
  const each = (performance.now() - start) / rounds;
  // Measured 0.1 ms; the bound leaves room for a busy machine.
  assert.ok(each < 2, `${each} ms`);
});
