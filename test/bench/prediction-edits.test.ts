/** Edited predictions: share, kinds and repeatability. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { editPrediction } from '../../bench/prediction-edits.ts';

const ids = Array.from({ length: 2000 }, (_, i) => 30_000 + i);

test('editPrediction leaves a prediction alone at share 0', () => {
  assert.deepEqual([...editPrediction(ids, 0, 1, 49_152)], ids);
});

test('editPrediction changes about the share of tokens, half of them by substitution', () => {
  const edited = [...editPrediction(ids, 0.05, 1, 49_152)];
  const kept = new Set(edited);
  const gone = ids.filter((id) => !kept.has(id)).length;
  const foreign = edited.filter((id) => id < 30_000);
  // 100 edits expected: 75 of them take a token away, 75 bring a foreign one.
  assert.ok(gone > 50 && gone < 100, `${gone} gone`);
  assert.ok(foreign.length > 50 && foreign.length < 100, `${foreign.length} foreign`);
  assert.ok(foreign.every((id) => id >= 500 && id < 20_500));
});

test('editPrediction repeats by seed and stays within a small vocabulary', () => {
  assert.deepEqual(editPrediction(ids, 0.2, 7, 49_152), editPrediction(ids, 0.2, 7, 49_152));
  assert.notDeepEqual(editPrediction(ids, 0.2, 7, 49_152), editPrediction(ids, 0.2, 8, 49_152));
  const small = [1, 2, 3, 4, 5, 6, 7, 8];
  assert.ok(editPrediction(small, 1, 1, 9).every((id) => id < 9));
});
