/** A report of load as text: the same tables for the terminal and for docs/benchmarks.md. */
import { goalTable } from './goals.ts';
import type { HeldOut, Judgement } from './held-out.ts';
import type { LoadReport } from './load.ts';
import { sampleTerms } from './load-drive.ts';
import { firstTokenGoodMs, type LoadLine, perTokenGoodMs, type Quantiles } from './load-summary.ts';
import { cell, type Table } from './table.ts';

export function loadText(report: LoadReport, draw: (table: Table) => string): string {
  const { environment, lines, differences, goals } = report;
  return [
    `${report.model}, N = ${report.workers}, t1 ${report.t1Ms} ms (measured ${cell(report.measuredT1Ms, 2)}); ` +
      `${report.localDrafter === null ? 'no local drafter' : `local drafter ${report.localDrafter}`}; ` +
      `${cell(report.windowMs / 1000)} s a line, ${cell(report.longWindowMs / 1000)} s of most users and of the policies; ${environment.cpu} x ${environment.cores} for everything, ` +
      `Node ${environment.node}, ONNX Runtime ${environment.onnxRuntime}, commit ${environment.commit ?? 'unknown'}; ` +
      `load ${cell(environment.loadAverage, 2)} before, ${cell(report.loadAverageAfter, 2)} after, ${environment.date}\n`,
    'One trace for all lines: code, maths and chat, a quarter of the prompts long, half of the answers 24 tokens and half 96 at most. ' +
      'Users ask again as soon as they are answered; rates are Poisson arrivals. Times in ms, p50 / p95 / p99, from the arrival; a token = time of a token behind the first delivery; ' +
      `good = first token within ${firstTokenGoodMs} ms and at most ${perTokenGoodMs} ms a token; ` +
      'predicted = mean predicted over mean measured latency; R2, error = of the time on the ring (without waits for a place or a turn), ' +
      'over the second half of the answers: told by the latency model as each part began, and by a sum that was fitted on the first half.\n',
    draw({
      textColumns: 2,
      header: [
        ...['setup', 'load', 'answered', 'tokens/s', 'a user', 'first token', 'a token', 'latency'],
        ...['mean', 'good/s', 'good', 'CPU', 'predicted', 'R2, error: told', 'fitted'],
      ],
      rows: lines.map(rowOf),
    }),
    ...(differences.length === 0
      ? []
      : [`\nERROR: answered differently in company: ${differences.join('; ')}`]),
    ...(report.heldOut === null
      ? []
      : ['', 'All loads below the knee together:\n', draw(heldOutTable(report.heldOut))]),
    '',
    draw(goalTable(goals)),
  ].join('\n');
}

function rowOf(line: LoadLine): string[] {
  return [
    ...[
      line.setup,
      line.load,
      `${line.finished} / ${line.asked}${line.failed > 0 ? `, ${line.failed} failed` : ''}`,
    ],
    ...[cell(line.tokensPerSecond, 1), cell(line.userTokensPerSecond, 1)],
    ...[times(line.firstTokenMs), times(line.perTokenMs), times(line.latencyMs), cell(line.meanLatencyMs)],
    ...[cell(line.goodPerSecond, 2), percent(line.goodShare), percent(line.cpuShare)],
    Number.isFinite(line.predictedRatio) ? `${cell(line.predictedRatio, 2)}x` : '-',
    ...[judged(line.heldOut?.told), judged(line.heldOut?.fitted)],
  ];
}

/** The same judgement of several loads, and what the fit says each thing costs. */
function heldOutTable({ told, fitted, coefficients }: HeldOut): Table {
  return {
    textColumns: 1,
    header: ['time on the ring', 'answers', 'R2', 'error', ...sampleTerms.map((term) => `${term}, ms`)],
    rows: [
      [
        'told ahead',
        String(told.count),
        cell(told.rSquared, 3),
        percent(told.error),
        ...sampleTerms.map(() => ''),
      ],
      [
        ...[
          'fitted on the first half',
          String(fitted.count),
          cell(fitted.rSquared, 3),
          percent(fitted.error),
        ],
        ...coefficients.map((ms) => cell(ms, 2)),
      ],
    ],
  };
}

function judged(judgement: Judgement | undefined): string {
  return judgement === undefined ? '-' : `${cell(judgement.rSquared, 3)}, ${percent(judgement.error)}`;
}

function times({ p50, p95, p99 }: Quantiles): string {
  return [p50, p95, p99].map((value) => cell(value)).join(' / ');
}

function percent(share: number): string {
  return Number.isFinite(share) ? `${cell(100 * share)} %` : '-';
}
