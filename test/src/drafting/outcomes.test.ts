import assert from 'node:assert/strict';
import { test } from 'node:test';
import { likelyOutcomes } from '../../../src/drafting/outcomes.ts';

const close = (a: number, b: number): void => assert.ok(Math.abs(a - b) < 1e-9, `${a} and ${b}`);

test('likelyOutcomes gives each accepted length times the runners-up, the likeliest first', () => {
  const expected = [
    [
      { id: 7, chance: 0.6 },
      { id: 1, chance: 0.3 },
    ],
    [
      { id: 8, chance: 0.9 },
      { id: 2, chance: 0.05 },
    ],
    [{ id: 3, chance: 0.5 }],
  ];
  const outcomes = likelyOutcomes([7, 8], [0.6, 0.8], expected);
  assert.deepEqual(
    outcomes.map(({ after, id }) => [after, id]),
    [
      [0, 1],
      [2, 3],
      [1, 2],
    ],
  );
  // Wrong with .4, and then token 1 has .3 of the .4 that is not token 7; both right with .48; one right, then .2 wrong.
  close(outcomes[0]!.chance, 0.4 * (0.3 / 0.4));
  close(outcomes[1]!.chance, 0.6 * 0.8 * 0.5);
  close(outcomes[2]!.chance, 0.6 * 0.2 * (0.05 / (1 - 0.9)));
});

test('likelyOutcomes of a round without guesses are what the target may say next', () => {
  const expected = [
    { id: 4, chance: 0.7 },
    { id: 5, chance: 0.2 },
    { id: 6, chance: 0.001 },
  ];
  assert.deepEqual(likelyOutcomes([], [], [expected]), [
    { after: 0, id: 4, chance: 0.7 },
    { after: 0, id: 5, chance: 0.2 },
  ]);
});

test('likelyOutcomes leaves out what is not known and what no longer counts', () => {
  const expected = [null, [{ id: 9, chance: 1 }], [{ id: 9, chance: 1 }]];
  assert.deepEqual(likelyOutcomes([1, 2], [0.001, 1], expected), []);
  const copied = likelyOutcomes([1], [0.5], [[{ id: 2, chance: 0.8 }], null]);
  assert.deepEqual(copied, [{ after: 0, id: 2, chance: 0.4 }]);
});
