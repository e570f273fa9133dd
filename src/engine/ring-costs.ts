/**
 * What the ring costs, as verdicts tell it: time in links, and a stage's pass as a line in its rows, those of the other
 * sessions that were in it included. Feeds the size of
 * frames and the choice between one draft at a time and frames behind one another.
 */
import { createLineFit } from '../drafting/line-fit.ts';
import type { FlightFrame } from './flight.ts';
import type { RingVerdict } from './ring.ts';
import type { StageCost } from './slices.ts';

/** Believed of the slowest stage until the first verdicts: a quarter of a 135M model on one core. */
const stagePrior = { level: 3, slope: 1 };
/** Weight of what was known when a new time in links comes in: links drift within seconds. */
const linkDecay = 0.8;

export interface RingCosts {
  /** Pass of the slowest stage. */
  stage(): StageCost;
  /** Do links cost more than a pass of one row, so that overlapping is worth wasted rows? */
  pipeliningPays(): boolean;
  observe(settled: FlightFrame, result: { nowMs: number; stages: RingVerdict['stages'] }): void;
}

export function createRingCosts(): RingCosts {
  const slowest = createLineFit(stagePrior);
  let linkMs: number | null = null;
  let stageCount = 1;

  return {
    stage: () => ({ fixedMs: slowest.at(0), perRowMs: slowest.slope }),
    pipeliningPays: () => linkMs !== null && linkMs > stageCount * slowest.at(1),
    observe({ sentMs, alone, opening }, { nowMs, stages }) {
      stageCount = Math.max(1, stages.length);
      if (stages.length > 0 && !opening) {
        const { passRows, runUs } = stages.reduce((most, stage) => (stage.runUs > most.runUs ? stage : most));
        slowest.observe(passRows, runUs / 1000);
      }
      if (!alone || opening) return;
      const busyMs = stages.reduce((sum, { queueUs, runUs }) => sum + queueUs + runUs, 0) / 1000;
      const links = Math.max(0, nowMs - sentMs - busyMs);
      linkMs = linkMs === null ? links : linkDecay * linkMs + (1 - linkDecay) * links;
    },
  };
}
