/** Plots of wan reports: speed-up over the links' delay and over the size of the ring, acceptance by position. */
import type { ModeRun } from './mode-runs.ts';
import type { ModeSummary } from './mode-summary.ts';
import { type BenchMode, plainStar } from './modes.ts';
import { lineChart, type Series } from './plot.ts';
import { type Plot, plotName } from './plot-files.ts';
import { goalT1Ms, goalWorkers } from './wan-goals.ts';
import type { WanReport } from './wan-report.ts';

/** A chance out of fewer trials says nothing. */
const trialsMin = 10;
/** Beyond it lie only exact predictions. */
const positionsMax = 16;

interface Place {
  readonly workers: number;
  readonly t1Ms: number;
}

/** Speed-up over t1 for the ring that goals are stated for, or the first; a plot for each set. */
export function overDelayPlots(reports: readonly WanReport[]): Plot[] {
  const sizes = reports.map(({ settings }) => settings.workers);
  const workers = sizes.includes(goalWorkers) ? goalWorkers : sizes[0];
  const shown = reports.filter(({ settings }) => settings.workers === workers);
  // A logarithm has no place for a delay of nothing.
  const log = shown.every(({ settings }) => settings.t1Ms > 0);
  return speedUpPlots(shown, ({ t1Ms }) => t1Ms, {
    name: ['speed-up', workers],
    title: `speed-up over plain decoding by the delay of a link, N = ${workers}`,
    x: { label: 'one-way delay of a link, ms', log },
  });
}

/** Speed-up over N for the delay that goals are stated for, or the first; a plot for each set. */
export function overWorkersPlots(reports: readonly WanReport[]): Plot[] {
  const delays = reports.map(({ settings }) => settings.t1Ms);
  const t1Ms = delays.includes(goalT1Ms) ? goalT1Ms : delays[0];
  const shown = reports.filter(({ settings }) => settings.t1Ms === t1Ms);
  return speedUpPlots(shown, ({ workers }) => workers, {
    name: ['speed-up-workers', t1Ms],
    title: `speed-up over plain decoding by the size of the ring, t1 = ${t1Ms} ms`,
    x: { label: 'workers', log: true },
  });
}

/** None unless two places or more were measured. */
function speedUpPlots(
  reports: readonly WanReport[],
  placeOf: (place: Place) => number,
  words: { name: (string | number)[]; title: string; x: { label: string; log: boolean } },
): Plot[] {
  if (new Set(reports.map(({ settings }) => placeOf(settings))).size < 2) return [];
  const lines = reports.flatMap(({ settings, summaries }) =>
    summaries.map((line) => ({ ...line, place: placeOf(settings) })),
  );
  return [...Map.groupBy(lines, ({ set }) => set)].map(([set, ofSet]) => ({
    name: plotName(...words.name, set),
    title: `${set}: ${words.title}`,
    svg: lineChart({
      title: `${set}: ${words.title}`,
      x: words.x,
      y: { label: 'speed-up, x' },
      series: seriesOf(ofSet),
    }),
  }));
}

function seriesOf(lines: readonly (ModeSummary & { place: number })[]): Series[] {
  const modes = Map.groupBy(
    lines.filter(({ mode }) => mode !== plainStar.name),
    ({ mode }) => mode,
  );
  return [...modes].map(([name, ofMode]) => ({
    name,
    points: ofMode.map(({ place, speedUp }) => [place, speedUp] as const).toSorted(([a], [b]) => a - b),
  }));
}

/** Chance that a token of a draft is right, given those before it; a plot for each synchronous drafter. */
export function acceptancePlots({ settings, runs }: WanReport): Plot[] {
  return settings.modes.filter(showsDrafts).map(({ name }) => {
    const title = `${name}: acceptance by position of the draft`;
    const ofMode = Map.groupBy(
      runs.filter(({ mode, repeating }) => mode === name && !repeating),
      ({ set }) => set,
    );
    const series = [...ofMode].map(([set, ofSet]) => ({ name: set, points: byPosition(ofSet) }));
    const y = { label: 'chance, given that all before are right', upTo: 1 };
    const svg = lineChart({ title, x: { label: 'position' }, y, series });
    return { name: plotName('accepted', name), title, svg };
  });
}

/** One draft is judged by one verdict, made when the one before was known, and by no prediction. */
function showsDrafts({ speculation, predictionEdits, warm = false }: BenchMode): boolean {
  const { drafter, rounds, preDrafting } = speculation;
  return (
    drafter !== 'none' && rounds === 'sync' && preDrafting === false && predictionEdits === null && !warm
  );
}

function byPosition(runs: readonly ModeRun[]): [position: number, chance: number][] {
  const rounds = runs.flatMap((run) => run.rounds);
  return Array.from({ length: positionsMax }, (_, i): [number, number, number] => {
    const reached = rounds.filter(({ drafted, accepted }) => drafted > i && accepted >= i);
    return [i + 1, reached.filter(({ accepted }) => accepted > i).length / reached.length, reached.length];
  }).flatMap(([position, chance, trials]) =>
    trials < trialsMin ? [] : [[position, chance] as [number, number]],
  );
}
