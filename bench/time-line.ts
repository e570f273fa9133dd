/**
 * Rounds of one answer on a line of time, a lane for each mode: as far as plain decoding takes for its first rounds, so
 * that every round can be seen, and the tokens that each mode had made final by then.
 */
import type { RoundRecord } from '../src/engine/session-stats.ts';
import type { ModeRun } from './mode-runs.ts';
import { plainChain } from './modes.ts';
import { laneChart, type Segment } from './plot.ts';
import { type Plot, plotName } from './plot-files.ts';
import { median } from './statistics.ts';
import type { WanReport } from './wan-report.ts';

/** Plain rounds that the line of time is long: their numbers still have room. */
const plainRounds = 16;
const segmentKinds = ['draft, ring idle', 'round on the ring', 'round behind another'];

/** The answer whose speed-up is nearest to the median of the fastest mode; null without runs. */
export function timeLinePlot({ settings, runs }: WanReport): Plot | null {
  const measured = new Set(runs.map(({ mode }) => mode));
  const shown = settings.modes.filter(
    ({ name, predictionEdits }) => predictionEdits === null && measured.has(name),
  );
  const prompt = typicalPrompt(runs, shown.filter(({ every = 1 }) => every === 1).at(-1)?.name);
  const plain = runOf(runs, plainChain.name, prompt);
  if (plain === undefined || plain.decodeTokens === 0) return null;
  const endMs = (plain.decodeMs / plain.decodeTokens) * plainRounds;
  const lanes = shown.flatMap(({ name }) => {
    const run = runOf(runs, name, prompt);
    return run === undefined ? [] : [{ name, ...laneOf(run.rounds, endMs) }];
  });
  const { workers, t1Ms } = settings;
  const title = `${prompt}: rounds of one answer, and the tokens that each made final; N = ${workers}, t1 = ${t1Ms} ms`;
  const x = { label: 'ms after the first round', upTo: endMs };
  const svg = laneChart({ title, x, kinds: segmentKinds, lanes });
  return { name: plotName('time-line', workers, t1Ms), title, svg };
}

function runOf(runs: readonly ModeRun[], name: string, prompt: string | null): ModeRun | undefined {
  return runs.find((run) => run.mode === name && run.prompt === prompt);
}

function typicalPrompt(runs: readonly ModeRun[], mode: string | undefined): string | null {
  const gains = runs.flatMap((run) => {
    if (run.mode !== mode || run.repeating) return [];
    const plain = runOf(runs, plainChain.name, run.prompt);
    return plain === undefined ? [] : [{ prompt: run.prompt, gain: plain.decodeMs / run.decodeMs }];
  });
  const middle = median(gains.map(({ gain }) => gain));
  const nearest = gains.toSorted((a, b) => Math.abs(a.gain - middle) - Math.abs(b.gain - middle))[0];
  return nearest?.prompt ?? null;
}

/** Rounds tile the time but for drafts that are made while nothing is under way. */
function laneOf(rounds: readonly RoundRecord[], endMs: number): { segments: Segment[]; note: string } {
  const segments: Segment[] = [];
  let nowMs = 0;
  let tokens = 0;
  // The time of a round that carried the prompt is mostly the prompt's.
  for (const { draftMs, roundMs, committed, fromIdle } of rounds.filter(({ opening }) => !opening)) {
    if (nowMs >= endMs) break;
    if (fromIdle && draftMs > 0) {
      segments.push({ from: nowMs, to: Math.min(endMs, nowMs + draftMs), kind: 0, text: '' });
      nowMs += draftMs;
    }
    const untilMs = nowMs + roundMs;
    if (untilMs <= endMs) tokens += committed;
    if (roundMs > 0 && nowMs < endMs) {
      const text = untilMs <= endMs ? String(committed) : '';
      segments.push({ from: nowMs, to: Math.min(endMs, untilMs), kind: fromIdle ? 1 : 2, text });
    }
    nowMs = untilMs;
  }
  return { segments, note: nowMs < endMs ? `${tokens}, the end` : `${tokens} tokens` };
}
