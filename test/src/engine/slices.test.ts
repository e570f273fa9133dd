import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { followingSlices, openingSlices, sliceRows } from '../../../src/engine/slices.ts';

test('slices hold every guess of a draft, in no more frames than allowed', () => {
  fc.assert(
    fc.property(
      fc.nat(64),
      fc.integer({ min: 1, max: 20 }),
      fc.integer({ min: 1, max: 16 }),
      (tokens, rows, max) => {
        const opening = openingSlices(tokens, rows, max);
        assert.equal(
          opening.reduce((sum, count) => sum + count, 0),
          tokens,
        );
        assert.ok(opening.length >= 1 && opening.length <= max);
        assert.ok(opening.slice(1).every((count) => count > 0));
        if (tokens === 0) return;
        const following = followingSlices(tokens, rows, max);
        assert.equal(
          following.reduce((sum, count) => sum + count, 0),
          tokens,
        );
        assert.ok(following.length <= max && following.every((count) => count > 0));
      },
    ),
  );
});

test('sliceRows is the cheapest frame size of the formula, within its bounds', () => {
  const cost = { fixedMs: 3, perRowMs: 1 };
  const time = (rows: number, tokens: number): number => 4 * rows + (tokens / rows) * (3 + rows);
  for (const tokens of [8, 32, 64]) {
    const chosen = time(sliceRows(tokens, 4, cost), tokens);
    for (let rows = 4; rows <= 16; rows++) assert.ok(chosen <= time(rows, tokens) * 1.05);
  }
  assert.equal(sliceRows(4, 4, { fixedMs: 0, perRowMs: 1 }), 4);
  assert.equal(sliceRows(64, 1, { fixedMs: 100, perRowMs: 0 }), 16);
});
