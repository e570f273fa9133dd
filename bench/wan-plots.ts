/** Plots of wan reports: speed-up over the links' delay, and the rounds of one answer on a line of time. */
import type { RoundRecord } from '../src/engine/session-stats.ts';
import type { ModeRun } from './mode-runs.ts';
import { type BenchMode, plainChain } from './modes.ts';
import { laneChart, lineChart, type Segment } from './plot.ts';
import { type Plot, plotName } from './plot-files.ts';
import { median } from './statistics.ts';
import type { WanReport } from './wan-report.ts';

const segmentKinds = ['draft, while the ring is idle', 'on the ring', 'frames behind others'];

/** One plot for each data set and size of ring that was measured at two delays or more. */
export function speedUpPlots(reports: readonly WanReport[]): Plot[] {
  const plots: Plot[] = [];
  for (const [workers, ofRing] of Map.groupBy(reports, ({ settings }) => settings.workers)) {
    if (ofRing.length < 2) continue;
    for (const set of new Set(ofRing.flatMap(({ summaries }) => summaries.map((line) => line.set)))) {
      const lines = ofRing.flatMap(({ settings, summaries }) =>
        summaries.filter((line) => line.set === set).map((line) => ({ t1Ms: settings.t1Ms, ...line })),
      );
      const title = `${set}: speed-up over plain decoding, ${workers} workers`;
      const series = [...Map.groupBy(lines, ({ mode }) => mode)].map(([name, ofMode]) => ({
        name,
        points: ofMode.map(({ t1Ms, speedUp }) => [t1Ms, speedUp] as const).toSorted(([a], [b]) => a - b),
      }));
      // A logarithm has no place for a delay of nothing.
      const log = ofRing.every(({ settings }) => settings.t1Ms > 0);
      const x = { label: 'one-way delay of a link, ms', log };
      const name = plotName('speed-up', set, workers);
      plots.push({ name, title, svg: lineChart({ title, x, y: { label: 'speed-up' }, series }) });
    }
  }
  return plots;
}

/** The answer whose speed-up is nearest to the median, in every mode that has no prediction; null without runs. */
export function timeLinePlot({ settings, runs }: WanReport): Plot | null {
  const shown = settings.modes.filter(({ predictionEdits }) => predictionEdits === null);
  const prompt = typicalPrompt(runs, shown);
  if (prompt === null) return null;
  const lanes = shown.flatMap(({ name }) => {
    const run = runs.find((candidate) => candidate.mode === name && candidate.prompt === prompt);
    return run === undefined ? [] : [{ name, segments: segmentsOf(run.rounds) }];
  });
  const title = `${prompt}: rounds of one answer (tokens that each made final), ${settings.workers} workers, t1 ${settings.t1Ms} ms`;
  const x = { label: 'ms after the first round' };
  const name = plotName('time-line', settings.workers, settings.t1Ms);
  return { name, title, svg: laneChart({ title, x, kinds: segmentKinds, lanes }) };
}

function typicalPrompt(runs: readonly ModeRun[], modes: readonly BenchMode[]): string | null {
  const fast = runs.filter(({ mode, repeating }) => mode === modes.at(-1)?.name && !repeating);
  const gains = fast.flatMap((run) => {
    const plain = runs.find(({ mode, prompt }) => mode === plainChain.name && prompt === run.prompt);
    return plain === undefined ? [] : [{ prompt: run.prompt, gain: plain.decodeMs / run.decodeMs }];
  });
  const middle = median(gains.map(({ gain }) => gain));
  const nearest = gains.toSorted((a, b) => Math.abs(a.gain - middle) - Math.abs(b.gain - middle))[0];
  return nearest?.prompt ?? null;
}

/** Rounds tile the time but for drafts that are made while nothing is under way. */
function segmentsOf(rounds: readonly RoundRecord[]): Segment[] {
  const segments: Segment[] = [];
  let nowMs = 0;
  // The time of a round that carried the prompt is mostly the prompt's.
  for (const { draftMs, roundMs, committed, fromIdle } of rounds.filter(({ opening }) => !opening)) {
    if (fromIdle && draftMs > 0) {
      segments.push({ from: nowMs, to: nowMs + draftMs, kind: 0, text: '' });
      nowMs += draftMs;
    }
    if (roundMs === 0) continue;
    segments.push({ from: nowMs, to: nowMs + roundMs, kind: fromIdle ? 1 : 2, text: String(committed) });
    nowMs += roundMs;
  }
  return segments;
}
