/**
 * Every goal beside what was measured for it, out of all claims; and for speed-ups over slow links what each would take
 * by the formula, and what the same acceptances give on processors with other costs of a row.
 */
import { type Goal, goalTable, verdictOn } from './goals.ts';
import type { ClaimFile } from './kept-reports.ts';
import { computedSpeedUp, knownRowCosts, neededFor } from './needed-acceptance.ts';
import type { Section } from './publish.ts';
import { cell, markdownTable, type Table } from './table.ts';
import { goalT1Ms, goalWorkers } from './wan-goals.ts';
import type { WanReport } from './wan-report.ts';

export function goalsSection(files: readonly ClaimFile<unknown>[]): Section {
  const wan = files.flatMap(({ claim, reports }) => (claim === 'wan' ? (reports as WanReport[]) : []));
  const main = goalReport(wan);
  const others = files.flatMap(({ claim, reports }) =>
    claim === 'wan' ? [] : (reports as { goals?: readonly Goal[] }[]).flatMap(({ goals = [] }) => goals),
  );
  return {
    key: 'goals',
    title: 'Goals',
    body: [
      markdownTable(goalTable([...(main?.goals ?? []), ...others])),
      ...(main === null ? [] : [explanationOf(main), markdownTable(neededTable(main))]),
    ].join('\n\n'),
    plots: [],
  };
}

/** The report of the ring that goals are stated for, with the most outputs; null if it was not measured. */
function goalReport(reports: readonly WanReport[]): WanReport | null {
  const measured = reports.filter(
    ({ settings: { workers, t1Ms, mbit, jitterMs } }) =>
      workers === goalWorkers && t1Ms === goalT1Ms && mbit === null && jitterMs === 0,
  );
  return measured.toSorted((a, b) => b.runs.length - a.runs.length)[0] ?? null;
}

function explanationOf({ summaries }: WanReport): string {
  const { intercept, slope } = summaries[0].passMs;
  const costs = knownRowCosts.map(
    ({ name, passMs }) => `${name} ${passMs.intercept} + ${passMs.slope} · rows`,
  );
  return (
    `What a speed-up takes, by T = (1 - a) R + a · delta with R and delta of this run: E = tokens per crossing of the ` +
    `ring = 1 / (1 - a), a = share of the tokens that were right guesses and waited for no crossing. Computed, not ` +
    `measured: the same drafts and verdicts with the row costs of other processors (tv in ms: ${costs.join('; ')}; here ` +
    `${cell(intercept, 1)} + ${cell(slope, 1)} · rows on ${summaries[0].set}).`
  );
}

function neededTable({ goals, summaries, settings, oneWay, runs }: WanReport): Table {
  const ring = { workers: settings.workers, t1Ms: oneWay.t1Ms };
  return {
    textColumns: 1,
    header: [
      ...['goal', 'wanted', 'measured', '', 'E', 'E it takes', 'a', 'a it takes'],
      ...knownRowCosts.map(({ name }) => `computed, ${name}`),
    ],
    rows: goals.flatMap(({ name, wanted, bound, measured, met, row }) => {
      const line = summaries.find(({ set, mode }) => set === row?.set && mode === row.mode);
      const mode = settings.modes.find((candidate) => candidate.name === row?.mode);
      if (line === undefined || mode === undefined) return [];
      const needed = neededFor(line, bound);
      const { missShare } = line.counted;
      return [
        [
          ...[name, `${wanted}x`, `${cell(measured, 2)}x`, verdictOn(measured, met)],
          ...[cell(1 / missShare, 2), cell(needed.acceptedLength, 2)],
          ...[cell(1 - missShare, 2), cell(needed.alpha, 2)],
          ...knownRowCosts.map((costs) => {
            const of = { mode, set: line.set, measured: line.passMs };
            return `${cell(computedSpeedUp(runs, of, ring, costs), 2)}x`;
          }),
        ],
      ];
    }),
  };
}
