import assert from 'node:assert/strict';
import { test } from 'node:test';
import { behindChange, type CopySource } from '../../../src/drafting/broken-copy.ts';
import { NgramChains } from '../../../src/drafting/ngram-chains.ts';
import { createSuffixIndex } from '../../../src/drafting/suffix-index.ts';

/** 100, 101, 102, … of which everything from index 10 on was copied. */
function sourceOf(overrides: Partial<CopySource> = {}): CopySource {
  const chains = new NgramChains({ tokensMax: 1000 });
  for (let i = 0; i < 60; i++) chains.append(100 + i);
  return { chains, from: 10, textLength: 0, agreed: 4, ...overrides };
}

test('behindChange finds where a copy goes on: another token, one more, one less', () => {
  const source = sourceOf();
  const right = [110, 111, 112];
  assert.equal(behindChange(source, right), null, 'it holds');
  assert.equal(behindChange(source, [...right, 7]), 14, 'another token in place of 113');
  assert.equal(behindChange(source, [...right, 114]), 15, 'the source says 113 besides');
  assert.equal(behindChange(source, [...right, 7, 113]), 14, 'the text says 7 besides');
  assert.equal(behindChange(source, [...right, 7, 114]), 15, 'another token, and on');
  assert.equal(behindChange(source, [...right, 7, 8]), null, 'two strange tokens: nobody knows');
  assert.equal(behindChange(source, [...right, 7, 8, 9, 116]), 17, 'found again');
  assert.equal(behindChange(source, [...right, 1, 2, 3, 4, 5, 6, 7, 8, 118]), null, 'left for good');
});

test('behindChange goes back to no copy of which little was right, nor beyond its end', () => {
  assert.equal(behindChange(sourceOf({ agreed: 1 }), [110, 111, 112, 7]), null);
  assert.equal(behindChange(sourceOf({ from: 58 }), [158, 159, 7]), null);
  assert.equal(behindChange(sourceOf({ from: 57 }), [157, 158, 7]), null);
  assert.equal(behindChange(sourceOf({ from: 56 }), [156, 157, 7]), 59);
});

test('behindChange counts positions that were forgotten', () => {
  const chains = new NgramChains({ tokensMax: 64 });
  for (let i = 0; i < 150; i++) chains.append(100 + i);
  assert.ok(chains.forgotten > 0);
  const source = { chains, from: 140, textLength: 0, agreed: 8 };
  assert.equal(behindChange(source, [240, 241, 7]), 143);
});

test('createSuffixIndex goes on in the prediction right behind a changed token', () => {
  const text = Array.from({ length: 40 }, (_, i) => 200 + i);
  const prediction = text.map((id, i) => (i === 9 || i === 25 ? 1000 + i : id));
  const index = createSuffixIndex({ prompt: [1, 2, 3], prediction: Uint32Array.from(prediction) });
  let rounds = 0;
  for (let next = 0; next < text.length; rounds++) {
    const { ids, fromPrediction } = index.draft(16);
    assert.equal(fromPrediction, ids.length);
    let right = 0;
    while (right < ids.length && ids[right] === text[next + right]) right += 1;
    const committed = text.slice(next, next + right + 1);
    for (const id of committed) index.append(id);
    next += committed.length;
  }
  // 9 and the changed one, 15 and the changed one, 14: nothing is lost behind a change.
  assert.equal(rounds, 3);
});
