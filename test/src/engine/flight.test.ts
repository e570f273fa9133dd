/** The ledger of frames under way: what a verdict says of the draft, of the frames behind and of the draft behind. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Verdict } from '../../../shards/verify.ts';
import { type Draft, emptyDraft } from '../../../src/drafting/drafter.ts';
import { Flight, type FlightFrame } from '../../../src/engine/flight.ts';
import { idleRing } from '../../../src/engine/latency-model.ts';

const draftOf = (...ids: number[]): Draft => ({
  ...emptyDraft,
  ids: Uint32Array.from(ids),
  source: 'ngram',
  reach: 0.5,
});

function frameOf(round: number, draft: Draft, ids: number[], continues: boolean): FlightFrame {
  return {
    frame: { epoch: 1, round, position: 0, ids: Uint32Array.from(ids), headFrom: 0 },
    draft,
    from: 0,
    continues,
    sentMs: 0,
    opening: false,
    alone: !continues,
    others: idleRing,
    expectedMs: 0,
  };
}

const verdictOf = (accepted: number, ids: number[], finished = false): Verdict => ({
  accepted,
  ids: Uint32Array.from(ids),
  kind: 'bonus',
  finished,
});

test('Flight judges a draft of one frame at once', () => {
  const flight = new Flight();
  const draft = draftOf(2, 3);
  flight.push(frameOf(1, draft, [1, 2, 3], false));
  const { judged, alive } = flight.settle(1, verdictOf(1, [2, 9]))!;
  assert.equal(alive, false);
  assert.deepEqual(judged, [
    { draft, verdict: { accepted: 1, ids: Uint32Array.of(2, 9), kind: 'recovered', finished: false } },
  ]);
  assert.equal(flight.length, 0);
});

test('Flight follows a draft over frames while bonus tokens meet the guesses', () => {
  const flight = new Flight();
  const draft = draftOf(2, 3, 4, 5);
  flight.push(frameOf(1, draft, [1, 2], false));
  flight.push(frameOf(2, draft, [3, 4], true));
  flight.push(frameOf(3, draft, [5], true));
  assert.deepEqual(flight.assumedIds(), [2, 3, 4, 5]);
  assert.equal(flight.reach(), 0.5);
  assert.deepEqual(flight.settle(1, verdictOf(1, [2, 3]))!.judged, []);
  assert.deepEqual(flight.settle(2, verdictOf(1, [4, 5]))!.judged, []);
  const last = flight.settle(3, verdictOf(0, [6]))!;
  assert.equal(last.alive, true);
  assert.equal(last.judged[0]!.verdict.accepted, 4);
  assert.deepEqual([...last.judged[0]!.verdict.ids], [2, 3, 4, 5, 6]);
});

test('Flight gives up frames whose first guess is not the bonus token', () => {
  const flight = new Flight();
  const draft = draftOf(2, 3, 4);
  flight.push(frameOf(1, draft, [1, 2], false));
  flight.push(frameOf(2, draft, [3, 4], true));
  const { judged, alive } = flight.settle(1, verdictOf(1, [2, 7]))!;
  assert.equal(alive, false);
  assert.equal(judged[0]!.verdict.accepted, 1);
  assert.equal(judged[0]!.verdict.kind, 'recovered');
  assert.equal(flight.settle(2, verdictOf(1, [4, 5])), null);
});

test('Flight judges the draft behind by the bonus token', () => {
  const flight = new Flight();
  const [first, second] = [draftOf(2), draftOf(3, 4)];
  flight.push(frameOf(1, first, [1, 2], false));
  flight.push(frameOf(2, second, [3, 4], true));
  assert.equal(flight.reach(), 0.25);
  const wrong = flight.settle(1, verdictOf(1, [2, 7]))!;
  assert.deepEqual(
    wrong.judged.map(({ draft, verdict }) => [draft, verdict.accepted]),
    [
      [first, 1],
      [second, 0],
    ],
  );
});

test('Flight carries the accepted first guess into the draft behind', () => {
  const flight = new Flight();
  const [first, second] = [draftOf(2), draftOf(3, 4)];
  flight.push(frameOf(1, first, [1, 2], false));
  flight.push(frameOf(2, second, [3, 4], true));
  assert.deepEqual(
    flight.settle(1, verdictOf(1, [2, 3]))!.judged.map(({ draft }) => draft),
    [first],
  );
  const last = flight.settle(2, verdictOf(1, [4, 5]))!;
  assert.equal(last.judged[0]!.verdict.accepted, 2);
  assert.deepEqual([...last.judged[0]!.verdict.ids], [3, 4, 5]);
});

test('Flight says nothing of a draft behind a wrong token', () => {
  const flight = new Flight();
  const [first, second] = [draftOf(2), draftOf(3, 4)];
  flight.push(frameOf(1, first, [1, 2], false));
  flight.push(frameOf(2, second, [3, 4], true));
  const { judged } = flight.settle(1, verdictOf(0, [9]))!;
  assert.deepEqual(
    judged.map(({ draft }) => draft),
    [first],
  );
});

test('Flight ends with the answer', () => {
  const flight = new Flight();
  const draft = draftOf(2, 3, 4);
  flight.push(frameOf(1, draft, [1, 2], false));
  flight.push(frameOf(2, draft, [3, 4], true));
  const { alive, judged } = flight.settle(1, verdictOf(1, [2], true))!;
  assert.equal(alive, false);
  assert.equal(judged[0]!.verdict.finished, true);
});

test('Flight tells what is guessed with the chance of each, whichever frame of a draft it travels in', () => {
  const flight = new Flight();
  assert.equal(flight.lastRound, null);
  const draft = { ...draftOf(2, 3, 4), chances: [0.9, 0.8, 0.7] };
  flight.push(frameOf(1, draft, [1, 2], false));
  flight.push({ ...frameOf(2, draft, [3, 4], true), from: 1 });
  const behind = { ...draftOf(5, 6), reach: 0.25 };
  flight.push(frameOf(3, behind, [5, 6], true));
  assert.deepEqual(flight.guesses(), [
    { id: 2, chance: 0.9 },
    { id: 3, chance: 0.8 },
    { id: 4, chance: 0.7 },
    // Nobody told more than what both are worth together.
    { id: 5, chance: 0.5 },
    { id: 6, chance: 0.5 },
  ]);
  assert.deepEqual(
    flight.guesses().map(({ id }) => id),
    flight.assumedIds(),
  );
  assert.equal(flight.lastRound, 3);
});
