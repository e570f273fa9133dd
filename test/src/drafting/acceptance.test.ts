import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  createSessionAcceptance,
  createSharedAcceptance,
  expectedRun,
  matchBucket,
  positionGroup,
  suffixPrior,
} from '../../../src/drafting/acceptance.ts';
import { createRandom } from './chooser-simulation.ts';

test('matchBucket and positionGroup cut where the measurements were cut', () => {
  const lengths = [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 32];
  const buckets = [0, 1, 2, 3, 4, 5, 5, 6, 6, 7, 7];
  assert.deepEqual(
    lengths.map((matchLength) => matchBucket({ matchLength })),
    buckets,
  );
  assert.deepEqual(
    lengths.map((matchLength) => matchBucket({ matchLength, fromEarlier: true })),
    buckets.map((bucket) => bucket + 8),
  );
  assert.deepEqual(
    [0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 99].map(positionGroup),
    [0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 7, 7, 7],
  );
});

test('createSharedAcceptance starts with the table: mean accepted of 8 as measured', () => {
  const shared = createSharedAcceptance(suffixPrior);
  const measured = [0.7, 1.6, 2.3, 2.3, 1.7, 3.0, 5.6];
  for (const [i, mean] of measured.entries()) {
    const chances = shared.chances(i + 1);
    let reach = 1;
    let accepted = 0;
    for (let position = 0; position < 8; position++) {
      reach *= chances[positionGroup(position)]!;
      accepted += reach;
    }
    assert.ok(Math.abs(accepted - mean) < 0.25, `bucket ${i + 1}: ${accepted} for ${mean}`);
  }
});

test('expectedRun trusts a match in the text itself more than a longer one in earlier answers', () => {
  const own = expectedRun({ matchLength: 2 }, 16);
  assert.ok(own > expectedRun({ matchLength: 5, fromEarlier: true }, 16));
  assert.ok(own < expectedRun({ matchLength: 12, fromEarlier: true }, 16));
  assert.ok(own > expectedRun({ matchLength: 2 }, 1));
});

test('createSessionAcceptance learns chances by bucket and position', () => {
  const random = createRandom(5);
  const shared = createSharedAcceptance(suffixPrior);
  const session = createSessionAcceptance(shared);
  const truth = [0.2, 0.9, 0.9, 0.95];
  for (let draft = 0; draft < 400; draft++) {
    let accepted = 0;
    while (accepted < 8 && random() < truth[Math.min(accepted, 3)]!) accepted += 1;
    session.observe(2, accepted, Math.min(8, accepted + 1));
    shared.observe(2, accepted, Math.min(8, accepted + 1));
  }
  for (const acceptance of [session, shared]) {
    const chances = acceptance.chances(2);
    for (const [position, chance] of truth.entries()) {
      assert.ok(Math.abs(chances[position]! - chance) < 0.15, `position ${position}: ${chances[position]}`);
    }
  }
  assert.deepEqual(session.chances(7), shared.chances(7));
});

test('createSessionAcceptance expects a copy that holds to hold on', () => {
  const session = createSessionAcceptance(createSharedAcceptance(suffixPrior));
  const before = session.chances(7)[6]!;
  for (let draft = 0; draft < 5; draft++) session.observe(7, 16, 16);
  assert.ok(session.chances(7)[6]! > before + 0.02);
  for (let draft = 0; draft < 20; draft++) session.observe(7, 0, 1);
  assert.ok(session.chances(7)[0]! < 0.45);
});
