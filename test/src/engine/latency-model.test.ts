/** What verdicts say of stages, links and the load of others, on rings whose costs are known. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emptyDraft } from '../../../src/drafting/drafter.ts';
import { createLatencyModel, idleRing, type LatencyModel } from '../../../src/engine/latency-model.ts';

const sent = { rows: 1, others: idleRing, sentMs: 0, alone: true, opening: false };
const near = (actual: number, expected: number, within: number, what: string): void =>
  assert.ok(Math.abs(actual - expected) <= within, `${what}: ${actual} instead of ${expected}`);

/**
 * Two stages of 2 ms + 3 ms a row and 1 ms + 1 ms a row, 40 ms of links; each row of others costs 0.5 ms, and a prompt that
 * is under way, as it is beside every fifth round, 90.
 */
function learn(model: LatencyModel, rounds: number): void {
  for (let i = 0; i < rounds; i++) {
    const rows = 1 + (i % 8);
    const others = { rows: i % 3 === 0 ? 0 : 5 * (i % 4), prompts: i % 5 === 0 ? 1 : 0 };
    const queueUs = 500 * others.rows + 90_000 * others.prompts;
    const stages = [
      { queueUs, runUs: 1000 * (2 + 3 * rows), passRows: rows, passSessions: 1 },
      { queueUs: 0, runUs: 1000 * (1 + rows), passRows: rows, passSessions: 1 },
    ];
    const busyMs = stages.reduce((sum, { queueUs, runUs }) => sum + queueUs + runUs, 0) / 1000;
    model.observeVerdict({ ...sent, rows, others }, { nowMs: 40 + busyMs, stages });
  }
}

test("a stage's time is a cost of all rows of its pass, not of the frame's alone", () => {
  const model = createLatencyModel();
  for (let i = 0; i < 200; i++) {
    const passRows = 1 + (i % 8);
    const slow = { queueUs: 0, runUs: 2000 + 3000 * passRows, passRows, passSessions: passRows };
    const fast = { queueUs: 0, runUs: 100, passRows: 1, passSessions: 1 };
    model.observeVerdict({ ...sent, alone: false }, { nowMs: 0, stages: [fast, slow] });
  }
  const { fixedMs, perRowMs } = model.stage();
  near(perRowMs, 3, 0.2, 'ms a row');
  near(fixedMs, 2, 0.7, 'ms a pass');
});

test('a round is links, passes and the load of others, each fitted on its own', () => {
  const model = createLatencyModel();
  learn(model, 400);
  const { linksMs, stagesRowMs, stagesFixedMs, loadRowMs, loadPromptMs } = model.terms();
  near(linksMs, 40, 0.1, 'links');
  near(stagesRowMs, 4, 0.2, 'a row');
  near(stagesFixedMs, 3, 1, 'passes');
  near(loadRowMs, 0.5, 0.1, "a row of others'");
  near(loadPromptMs, 90, 5, "a prompt of others'");
  near(model.roundMs(5, idleRing), 63, 1, 'a round alone');
  near(model.roundMs(5, { rows: 20, prompts: 0 }), 73, 2.5, 'a round beside others');
  near(model.roundMs(5, { rows: 10, prompts: 1 }), 158, 6, 'a round beside a prompt');
  assert.equal(model.pipeliningPays(), true);
});

test('rows that fill the stages: a pass of which the fixed part is small, and as many for each on the way', () => {
  const model = createLatencyModel();
  learn(model, 400);
  // 8 · 2 / 3 = 5.3 rows are less than a usual frame's 8, in 26 ms at the slowest stage; a way round takes 40 + 26 + 9 ms.
  near(model.fillingRows(), (8 * 75) / 26, 3, 'rows');
});

test('times of drafts are kept by drafter, and the time to the first token by rows', () => {
  const model = createLatencyModel();
  const draftOf = (source: string, tokens: number, draftMs: number) => ({
    ...emptyDraft,
    source,
    draftMs,
    ids: new Uint32Array(tokens),
  });
  for (let i = 0; i < 60; i++) {
    model.observeDraft(draftOf('head', 1 + (i % 6), 3 + 2 * (1 + (i % 6))));
    model.observeDraft(draftOf('ngram', i % 9, 0.1));
    model.observePrefill(100 + 10 * (i % 20), idleRing, 50 + 1.5 * (100 + 10 * (i % 20)));
  }
  near(model.draftMs(draftOf('head', 4, 0)), 11, 0.5, 'a draft of the head');
  near(model.draftMs(draftOf('ngram', 4, 0)), 0.1, 0.2, 'a copy');
  near(model.prefillMs(300, idleRing), 500, 10, 'a prompt');
});

test('after a crowd has left, the time to the first token is foretold as of a quiet ring within five prompts', () => {
  const model = createLatencyModel();
  const quietMs = (rows: number): number => 120 + 2 * rows;
  for (let i = 0; i < 40; i++)
    model.observePrefill(20 + 10 * (i % 10), idleRing, 600 + quietMs(20 + 10 * (i % 10)));
  for (let i = 0; i < 5; i++) model.observePrefill(40 + 20 * i, idleRing, quietMs(40 + 20 * i));
  near(model.prefillMs(60, idleRing), quietMs(60), 120, 'ms to the first token');
});
