/** What a measured line rests on, as columns that every table of modes can have: acceptance, costs, and the formula. */
import type { ModeSummary } from './mode-summary.ts';
import { cell } from './table.ts';
import { formulaDeviation } from './wan-goals.ts';

/** tv(rows) = compute of a pass through all shards; formula = its counted form, ms per token. */
export const modeColumns = [
  ...['H', 'tok/s', 'quartiles', 'alpha', 'E', 'drafted', 'td', 'tv(rows)', 'B/token', 'ms/token'],
  ...['formula', 'deviation'],
];

export function modeCells(line: ModeSummary): string[] {
  const { median, lowerQuartile, upperQuartile } = line.tokensPerSecond;
  return [
    String(line.hops),
    cell(median, 1),
    `${cell(lowerQuartile, 1)}-${cell(upperQuartile, 1)}`,
    ...[cell(line.alpha, 2), cell(line.acceptedLength, 2), cell(line.draftLength, 1), cell(line.tdMs, 2)],
    `${cell(line.passMs.intercept, 1)} + ${cell(line.passMs.slope, 1)} · rows`,
    ...[cell(line.bytesPerToken), cell(line.measuredMsPerToken, 1), cell(line.counted.msPerToken, 1)],
    `${cell(100 * formulaDeviation(line), 1)} %`,
  ];
}
