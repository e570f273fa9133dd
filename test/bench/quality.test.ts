/** Quality of lossy outputs on made-up ones. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lastNumber, qualityOf } from '../../bench/quality.ts';

test('qualityOf counts agreement, perplexity and right answers', () => {
  const scores = [Math.log(0.5), Math.log(0.125)];
  const { equal, samePrefix, perplexity, right, answered } = qualityOf([
    { ids: [1, 2, 3, 4], losslessIds: [1, 2, 3, 4], text: 'It is 12.', answer: 12, scores },
    { ids: [1, 9, 3], losslessIds: [1, 2, 3, 4], text: 'none', answer: 3, scores: [] },
    { ids: [1, 2], losslessIds: [1, 2], text: '5', scores: [] },
  ]);
  assert.equal(equal, 2 / 3);
  assert.equal(samePrefix, (1 + 0.25 + 1) / 3);
  assert.ok(Math.abs(perplexity - 4) < 1e-9);
  assert.deepEqual([right, answered], [0.5, 2]);
});

test('lastNumber reads thousands, decimals and signs', () => {
  assert.equal(lastNumber('3 apples and 1,200.50 in all.'), 1200.5);
  assert.equal(lastNumber('-7'), -7);
  assert.equal(lastNumber('none'), null);
});
