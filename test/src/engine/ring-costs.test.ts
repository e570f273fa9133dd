/** What verdicts say of a stage's cost. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emptyDraft } from '../../../src/drafting/drafter.ts';
import type { FlightFrame } from '../../../src/engine/flight.ts';
import { createRingCosts } from '../../../src/engine/ring-costs.ts';

test("createRingCosts takes a stage's time as a cost of all rows of its pass, not of the frame's alone", () => {
  const costs = createRingCosts();
  const settled: FlightFrame = {
    frame: { epoch: 0, round: 0, position: 0, ids: Uint32Array.of(1), headFrom: 0 },
    draft: emptyDraft,
    from: 0,
    continues: false,
    sentMs: 0,
    opening: false,
    alone: false,
  };
  // Frames of one row in passes of 1 to 8: 2 ms a pass and 3 ms a row at the slower of two stages.
  for (let i = 0; i < 200; i++) {
    const passRows = 1 + (i % 8);
    const slow = { queueUs: 0, runUs: 2000 + 3000 * passRows, passRows, passSessions: passRows };
    const fast = { queueUs: 0, runUs: 100, passRows: 1, passSessions: 1 };
    costs.observe(settled, { nowMs: 0, stages: [fast, slow] });
  }
  const { fixedMs, perRowMs } = costs.stage();
  assert.ok(Math.abs(perRowMs - 3) < 0.2, `${perRowMs} ms a row`);
  assert.ok(Math.abs(fixedMs - 2) < 0.7, `${fixedMs} ms a pass`);
});
