/** Plots of a report of load: throughput over users, latency over the rate of arrivals, policies beside one another. */
import type { LoadReport } from './load.ts';
import type { LoadLine } from './load-summary.ts';
import { lineChart, type Series } from './plot.ts';
import { type Plot, plotName } from './plot-files.ts';

export function loadPlots({ workers, t1Ms, lines }: LoadReport): Plot[] {
  const where = `${workers} workers, t1 ${t1Ms} ms`;
  const byUsers = lines.filter(({ load }) => / users?$/.test(load));
  const byRate = lines.filter(({ load }) => load.endsWith('/ s'));
  const plots: Plot[] = [];
  const draw = (name: string, title: string, x: string, y: string, series: readonly Series[]): void => {
    if (series.every(({ points }) => points.length < 2)) return;
    const svg = lineChart({ title, x: { label: x }, y: { label: y }, series });
    plots.push({ name: plotName('load', name, workers, t1Ms), title, svg });
  };
  draw('throughput', `Throughput over users, ${where}`, 'users at once', 'tokens/s', [
    // One user without drafts, and most users without shared passes, are points beside the curve.
    ...loadSeries(byUsers, 'all', ({ tokensPerSecond }) => tokensPerSecond, 1),
    ...loadSeries(byUsers, 'a user', ({ userTokensPerSecond }) => userTokensPerSecond),
  ]);
  const rates = byRate.filter(({ setup }) => setup === 'speculative');
  const ofRates = (name: string, of: (line: LoadLine) => number): Series[] =>
    loadSeries(rates, '', of).map(({ points }) => ({ name, points }));
  draw('latency', `Latency over the rate of arrivals, ${where}`, 'requests a second', 's', [
    ...ofRates('first token, p50', ({ firstTokenMs }) => firstTokenMs.p50 / 1000),
    ...ofRates('first token, p95', ({ firstTokenMs }) => firstTokenMs.p95 / 1000),
    ...ofRates('answer, p50', ({ latencyMs }) => latencyMs.p50 / 1000),
    ...ofRates('answer, p95', ({ latencyMs }) => latencyMs.p95 / 1000),
    ...ofRates('answer, mean', ({ meanLatencyMs }) => meanLatencyMs / 1000),
    ...ofRates(
      'answer, predicted mean',
      // JSON has no NaN: what nobody predicted may come back as null.
      ({ predictedRatio, meanLatencyMs }) =>
        Number.isFinite(predictedRatio) ? (predictedRatio * meanLatencyMs) / 1000 : Number.NaN,
    ),
  ]);
  const policies = byRate.filter(({ setup }) => setup !== 'speculative');
  draw(
    'policies',
    `Latency by policy at ${policies[0]?.load ?? ''}, ${where}`,
    'share of answers',
    'within s',
    policies.map(({ setup, latencyProfile }) => ({
      name: setup,
      points: latencyProfile.map(([share, latencyMs]) => [share, latencyMs / 1000] as const),
    })),
  );
  return plots;
}

/** A curve for each setup that was measured at two loads or more, or at so many. */
export function loadSeries(
  lines: readonly LoadLine[],
  what: string,
  of: (line: LoadLine) => number,
  pointsMin = 2,
): Series[] {
  return [...Map.groupBy(lines, ({ setup }) => setup)]
    .map(([setup, ofSetup]) => ({
      name: `${setup}, ${what}`,
      points: ofSetup
        .map((line) => [line.amount, of(line)] as const)
        .filter(([, value]) => Number.isFinite(value))
        .toSorted(([a], [b]) => a - b),
    }))
    .filter(({ points }) => points.length >= pointsMin);
}
