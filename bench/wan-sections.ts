/**
 * Wan reports → sections of docs/benchmarks.md. A ring measured alone has a section with every table; rings that were
 * measured with the same prompts and modes over several delays or sizes share one, with their plots.
 */
import { plotName } from './plot-files.ts';
import type { Section } from './publish.ts';
import { markdownTable } from './table.ts';
import { timeLinePlot } from './time-line.ts';
import { matrixMarkdown } from './wan-matrix.ts';
import { acceptancePlots, overDelayPlots, overWorkersPlots } from './wan-plots.ts';
import type { WanReport } from './wan-report.ts';
import { wanMarkdown } from './wan-text.ts';

/** What a run is repeated or replaced by: equal for reports of one ring under the same conditions. */
export function wanConditions(report: WanReport): string {
  const { workers, t1Ms } = report.settings;
  return JSON.stringify([campaignOf(report), workers, t1Ms]);
}

export function wanSections(reports: readonly WanReport[]): Section[] {
  const campaigns = [...Map.groupBy(reports, campaignOf).values()];
  return campaigns.flatMap((campaign) => {
    const rings = campaign.toSorted(
      ({ settings: a }, { settings: b }) => a.workers - b.workers || a.t1Ms - b.t1Ms,
    );
    return rings[0].settings.rings === 1 ? rings.map(ringSection) : [matrixSection(rings)];
  });
}

/** All that the reports of one sweep over delays and rings have in common. */
function campaignOf({ settings, wording }: WanReport): string {
  const { model, quantisation, mbit, jitterMs, maxTokens, repeats, limit, modes, localDrafter, rings } =
    settings;
  const names = modes.map(({ name }) => name);
  const sets = Object.keys(wording);
  return JSON.stringify([
    ...[model, quantisation, mbit, jitterMs, maxTokens, repeats, limit, names, localDrafter, sets, rings > 1],
  ]);
}

function ringSection(report: WanReport): Section {
  const { workers, t1Ms, mbit, jitterMs } = report.settings;
  const link = [`t1 = ${t1Ms} ms`];
  if (mbit !== null) link.push(`${mbit} Mbit/s`);
  if (jitterMs > 0) link.push(`jitter ${jitterMs} ms`);
  return {
    key: plotName('wan', workers, ...link),
    title: `Slow links: ${workers} workers, ${link.join(', ')}`,
    body: wanMarkdown(report),
    plots: [...acceptancePlots(report), timeLinePlot(report)].filter((plot) => plot !== null),
  };
}

function matrixSection(rings: readonly WanReport[]): Section {
  const { maxTokens, mbit, jitterMs } = rings[0].settings;
  const link = [mbit ?? [], jitterMs > 0 ? jitterMs : []].flat();
  return {
    key: plotName('wan-matrix', maxTokens, ...link),
    title: 'Slow links: over delays and sizes of the ring',
    body: matrixMarkdown(rings, markdownTable),
    plots: [...overDelayPlots(rings), ...overWorkersPlots(rings)],
  };
}
