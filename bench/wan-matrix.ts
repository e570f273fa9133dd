/** Rings of several sizes and delays as one text: speed-ups side by side, then every row with what it rests on. */
import { modeCells, modeColumns } from './mode-columns.ts';
import type { ModeSummary } from './mode-summary.ts';
import { cell, type Table } from './table.ts';
import type { WanReport } from './wan-report.ts';
import { conditionsLine } from './wan-text.ts';

interface Row extends ModeSummary {
  readonly workers: number;
  readonly askedT1Ms: number;
  readonly t1Ms: number;
}

/** `reports` of one sweep, in the order of columns. */
export function matrixMarkdown(reports: readonly WanReport[], draw: (table: Table) => string): string {
  const rows = reports.flatMap(({ settings, oneWay, summaries }) =>
    summaries.map((line): Row => {
      const { workers, t1Ms: askedT1Ms } = settings;
      return { ...line, workers, askedT1Ms, t1Ms: oneWay.t1Ms };
    }),
  );
  const differences = reports.reduce((sum, report) => sum + report.differences.length, 0);
  const loads = reports.flatMap(({ environment, loadAverageAfter }) => [
    environment.loadAverage,
    loadAverageAfter,
  ]);
  return [
    `${conditionsLine(reports[0], 'several')}; load ${cell(Math.min(...loads), 2)} to ${cell(Math.max(...loads), 2)}; outputs that differ from plain decoding: ${differences}.\n`,
    'Speed-up over the plain chain of the same ring, all tokens of a set:\n',
    draw(speedUpTable(reports, rows)),
    '\n<details><summary>Every row: what it rests on, and the formula beside the measurement</summary>\n',
    draw(detailTable(rows)),
    '\n</details>',
  ].join('\n');
}

function speedUpTable(reports: readonly WanReport[], rows: readonly Row[]): Table {
  const lines = Map.groupBy(rows, ({ set, mode }) => JSON.stringify([set, mode]));
  return {
    textColumns: 2,
    header: ['set', 'mode', ...reports.map(({ settings }) => `N ${settings.workers}, ${settings.t1Ms} ms`)],
    rows: [...lines.values()]
      .toSorted(([a], [b]) => a.set.localeCompare(b.set))
      .map((ofLine) => [
        ofLine[0].set,
        ofLine[0].lossless ? ofLine[0].mode : `${ofLine[0].mode} (lossy)`,
        ...reports.map(({ settings }) => {
          const at = ofLine.find(
            ({ workers, askedT1Ms }) => workers === settings.workers && askedT1Ms === settings.t1Ms,
          );
          return at === undefined ? '-' : `${cell(at.speedUp, 2)}x`;
        }),
      ]),
  };
}

function detailTable(rows: readonly Row[]): Table {
  return {
    textColumns: 2,
    header: ['set', 'mode', 'N', 't1', 'n', ...modeColumns],
    rows: rows.map((row) => [
      ...[row.set, row.mode, String(row.workers), cell(row.t1Ms, 2), String(row.outputs)],
      ...modeCells(row),
    ]),
  };
}
