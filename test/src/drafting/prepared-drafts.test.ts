import assert from 'node:assert/strict';
import { test } from 'node:test';
import { greedy } from '../../../shards/sampler.ts';
import type { Sequence } from '../../../src/drafting/drafter.ts';
import type { OutcomeDraft } from '../../../src/drafting/outcome-drafts.ts';
import { createPreparedDrafts } from '../../../src/drafting/prepared-drafts.ts';

function sequenceOf(tokens: readonly number[]): Sequence {
  return { id: 's', tokens, promptLength: 2, prediction: null, owner: 'o', sampling: greedy };
}

function outcome(after: number, id: number): OutcomeDraft {
  return { after, id, ids: Uint32Array.of(100 * after + id), confidence: null, ended: false };
}

test('createPreparedDrafts finds what was written for the token that came, after any number of guesses', () => {
  const prepared = createPreparedDrafts();
  assert.equal(prepared.find(sequenceOf([1, 2]), []).kind, 'nothing');
  const { add, known } = prepared.extend(sequenceOf([1, 2]), [10, 11, 12]);
  assert.deepEqual(known, []);
  for (const [after, id] of [
    [0, 5],
    [2, 6],
    [3, 13],
  ] as const)
    add(outcome(after, id));
  const found = (tokens: number[], ahead: number[] = []): unknown => {
    const finding = prepared.find(sequenceOf(tokens), ahead);
    return finding.kind === 'hit' ? [...finding.draft.ids] : finding.kind;
  };
  assert.deepEqual(found([1, 2, 5]), [5]);
  assert.deepEqual(found([1, 2, 10, 11, 6]), [206]);
  assert.deepEqual(found([1, 2, 10, 11, 12, 13]), [313]);
  assert.deepEqual(found([1, 2, 10], [11, 12, 13]), [313]);
  assert.equal(found([1, 2, 6]), 'miss');
  assert.equal(found([1, 2, 10, 11, 12, 14]), 'miss');
  assert.equal(found([1, 2, 10, 11]), 'nothing', 'all as assumed so far');
  assert.equal(found([1, 2, 99, 11, 6]), 'nothing', 'an older round');
  prepared.forget('s');
  assert.equal(found([1, 2, 5]), 'nothing');
});

test('createPreparedDrafts keeps outcomes while more is assumed behind, and drops them with their line', () => {
  const prepared = createPreparedDrafts();
  const first = prepared.extend(sequenceOf([1, 2]), [10, 11]);
  first.add(outcome(0, 5));
  first.add(outcome(1, 6));
  // One guess is final now, and two more are under way.
  const second = prepared.extend(sequenceOf([1, 2, 10]), [11, 12, 13]);
  assert.deepEqual(second.known, [{ after: 0, id: 6 }]);
  second.add(outcome(2, 7));
  assert.equal(prepared.find(sequenceOf([1, 2, 10, 6]), []).kind, 'hit');
  assert.equal(prepared.find(sequenceOf([1, 2, 10, 11, 12, 7]), []).kind, 'hit');
  prepared.extend(sequenceOf([1, 2, 10, 6]), [20]);
  first.add(outcome(1, 6));
  assert.equal(prepared.find(sequenceOf([1, 2, 10, 6, 7]), []).kind, 'miss');
  assert.deepEqual(prepared.extend(sequenceOf([1, 2, 10, 6]), [20, 21]).known, []);
});

test('createPreparedDrafts has room for new outcomes however long a line goes on as assumed', () => {
  const prepared = createPreparedDrafts();
  const tokens = [1, 2];
  for (let round = 0; round < 200; round++) {
    const { add, known } = prepared.extend(sequenceOf(tokens), [10, 10]);
    add(outcome(0, 5));
    add(outcome(1, 6));
    const found = prepared.find(sequenceOf([...tokens, 10, 6]), []);
    assert.deepEqual([found.kind, known.length], ['hit', round === 0 ? 0 : 1], `round ${round}`);
    tokens.push(10);
  }
});
