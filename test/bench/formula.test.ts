/** The closed formulas against published-style numbers: N = 4, tv = 10 ms, td = 2 ms, chain with direct return. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  asynchronousMsPerToken,
  bestDraftLength,
  countedAlpha,
  countedTime,
  expectedTokens,
  hopsOf,
  plainMsPerToken,
  synchronousMsPerToken,
} from '../../bench/formula.ts';

/** t1, alpha, plain ms per token, best draft length and its ms per token, synchronous star ms per token. */
const table = [
  [5, 0.5, 35, 3, 21.9, 29.9],
  [5, 0.7, 35, 5, 15.3, 20.3],
  [5, 0.85, 35, 9, 9.9, 12.6],
  [15, 0.5, 85, 4, 48, 71.1],
  [15, 0.7, 85, 7, 31.5, 45.6],
  [15, 0.85, 85, 13, 18.6, 25.9],
  [50, 0.5, 260, 6, 137.1, 212.7],
  [50, 0.7, 260, 10, 85.7, 131.4],
  [50, 0.85, 260, 19, 46.5, 69.8],
] as const;

test('plainMsPerToken and synchronousMsPerToken reproduce the table at the best draft length', () => {
  for (const [t1Ms, alpha, plain, length, synchronous] of table) {
    const ring = { hops: hopsOf('chain', 4), t1Ms, tvMs: 10 };
    assert.equal(plainMsPerToken(ring), plain);
    assert.equal(bestDraftLength(ring, 2, alpha), length);
    assert.ok(Math.abs(synchronousMsPerToken(ring, length, 2, alpha) - synchronous) < 0.06);
  }
});

test('synchronousMsPerToken is slower over a star by its hops', () => {
  for (const [t1Ms, alpha, , , , star] of table) {
    const ring = { hops: hopsOf('star', 4), t1Ms, tvMs: 10 };
    const measured = synchronousMsPerToken(ring, bestDraftLength(ring, 2, alpha), 2, alpha);
    assert.ok(Math.abs(measured - star) < 0.06, `${measured} against ${star}`);
  }
});

test('expectedTokens is the draft and one more when nothing is rejected, and one when all is', () => {
  assert.equal(expectedTokens(8, 1), 9);
  assert.equal(expectedTokens(8, 0), 1);
  assert.equal(expectedTokens(1, 0.5), 1.5);
});

const round = { draftMs: 0, frames: 1, answeredRows: 1, stagesMs: [2, 3], fromIdle: true, opening: false };
const link = { hops: 5, t1Ms: 15 };

test('countedTime adds what happened and divides by the tokens', () => {
  const rounds = [round, { ...round, answeredRows: 5, draftMs: 2 }];
  const { msPerToken, missShare, ringMs } = countedTime(rounds, 4, link, (rows) => 10 + rows);
  assert.equal(msPerToken, (75 + 11 + 2 + 75 + 15) / 4);
  assert.equal(missShare, 0.5);
  assert.equal(ringMs, (75 + 11 + 2 + 75 + 15) / 2);
});

test('countedTime equals the plain formula when nothing is drafted', () => {
  const rounds = Array.from({ length: 7 }, () => round);
  const { msPerToken } = countedTime(rounds, 7, link, () => 12);
  assert.equal(msPerToken, plainMsPerToken({ ...link, tvMs: 12 }));
});

test('countedTime charges frames behind others by the busiest stage, or by their drafting', () => {
  const rounds = [
    { ...round, frames: 3, answeredRows: 6, stagesMs: [9, 12], draftMs: 4 },
    // The other stage was slow for once.
    { ...round, frames: 2, answeredRows: 4, stagesMs: [8, 6], draftMs: 1, fromIdle: false },
    { ...round, frames: 1, answeredRows: 2, stagesMs: [2, 3], draftMs: 7, fromIdle: false },
    // Its first guess was wrong, so none of its frames was answered.
    { ...round, frames: 0, answeredRows: 0, stagesMs: [], draftMs: 9, fromIdle: false },
  ];
  const { msPerToken, missShare, ringMs, deltaMs } = countedTime(rounds, 10, link, (rows) => 10 + rows);
  assert.equal(ringMs, 4 + 75 + 12);
  assert.ok(Math.abs(deltaMs - (8 + 6 + 7) / 9) < 1e-12);
  assert.ok(Math.abs(msPerToken - (missShare * ringMs + (1 - missShare) * deltaMs)) < 1e-12);
});

test('countedTime charges a round that carried the prompt as a plain one', () => {
  const opening = { ...round, frames: 2, answeredRows: 16, stagesMs: [4, 8], draftMs: 5, opening: true };
  const { ringMs, msPerToken } = countedTime([opening], 17, link, (rows) => 10 + rows);
  assert.equal(ringMs, 75 + 11);
  assert.equal(msPerToken, (75 + 11 + 4) / 17);
});

test('asynchronousMsPerToken is (1 - alpha) R + alpha delta for frames of one token', () => {
  const ring = { ...link, tvMs: 10 };
  const one = { tokens: 1, stageMs: 2.5 };
  assert.ok(Math.abs(asynchronousMsPerToken(ring, one, 2, 0.7) - (0.3 * 85 + 0.7 * 2.5)) < 1e-9);
  assert.equal(asynchronousMsPerToken(ring, one, 2, 0), 85);
  assert.equal(asynchronousMsPerToken(ring, one, 4, 1), 4);
});

test('asynchronousMsPerToken waits for larger frames only where drafting is slower than a stage', () => {
  const ring = { ...link, tvMs: 10 };
  const four = { tokens: 4, stageMs: 2.5 };
  const slow = asynchronousMsPerToken(ring, four, 2, 0.7);
  const run = 0.7 ** 4 / (1 - 0.7 ** 4);
  assert.ok(Math.abs(slow - 0.3 * (85 + 6 + 8 * run)) < 1e-9);
});

test('countedAlpha counts only the tokens that were reached', () => {
  const alpha = countedAlpha([
    { drafted: 4, accepted: 4 },
    { drafted: 4, accepted: 1 },
    { drafted: 0, accepted: 0 },
  ]);
  assert.equal(alpha, 5 / 6);
  assert.ok(Number.isNaN(countedAlpha([{ drafted: 0, accepted: 0 }])));
});
