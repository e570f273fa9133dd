/** The wan report as text: tables for the terminal, and the same tables as a section of docs/benchmarks.md. */

import { othersMax } from './bench-tasks.ts';
import { goalTable } from './goals.ts';
import { cell, markdownTable, plainTable, type Table } from './table.ts';
import { formulaDeviation } from './wan-goals.ts';
import type { WanReport } from './wan-report.ts';

export function wanPlainText(report: WanReport): string {
  return compose(report, plainTable, (title) => `\n${title}\n`);
}

export function wanMarkdown(report: WanReport): string {
  return compose(report, markdownTable, (title) => `\n### ${title}\n`);
}

/** One line for what the numbers depend on; stands above every table. `rings`: is the report one of several? */
export function conditionsLine(
  { settings, environment, oneWay, loadAverageAfter }: WanReport,
  rings: 'one' | 'several' = 'one',
): string {
  const link = [
    ...(rings === 'one' ? [`t1 ${settings.t1Ms} ms (measured ${cell(oneWay.t1Ms, 2)})`] : []),
    settings.mbit === null ? 'no bandwidth limit' : `${settings.mbit} Mbit/s`,
    ...(settings.jitterMs > 0 ? [`jitter up to ${settings.jitterMs} ms`] : []),
  ];
  return [
    `${settings.model}, ${settings.quantisation}`,
    ...(rings === 'one' ? [`N = ${settings.workers} workers (layers ${settings.layers.join(', ')})`] : []),
    link.join(', '),
    `${settings.localDrafter === null ? 'no local drafter' : `local drafter ${settings.localDrafter}`}, cold but where a mode says warm (then the text drafter knows answers to up to ${othersMax} other prompts of the set)`,
    `greedy, at most ${settings.maxTokens} tokens, ${settings.repeats} repeat(s)`,
    `${environment.cpu} x ${environment.cores}, Node ${environment.node}, ONNX Runtime ${environment.onnxRuntime}, commit ${environment.commit ?? 'unknown'}`,
    ...(rings === 'one'
      ? [`load ${cell(environment.loadAverage, 2)} before, ${cell(loadAverageAfter, 2)} after`]
      : []),
    environment.date,
  ].join('; ');
}

function compose(
  report: WanReport,
  draw: (table: Table) => string,
  heading: (title: string) => string,
): string {
  const { hopOverheadMs, singleWorker, oneWay } = report;
  const wording = Object.entries(report.wording).map(([set, text]) => [set, text]);
  return [
    conditionsLine(report),
    heading('Speed'),
    `alpha = chance that a drafted token is accepted, given those before it; E = tokens for each time that the ring was ` +
      `crossed from idle (synchronous: per round); drafted = tokens per draft; prepared = rounds whose draft was written while the round before was under way. The clock starts at the first verdict; where ` +
      `drafts that left with the prompt are answered behind it, the answer is counted whole and charged one plain round more.\n`,
    draw(speedTable(report)),
    heading('Formula beside measurement, synchronous modes, ms per token'),
    `counted = (draft time + H · t1 + tv(rows)) / E with rows and E as counted and t1 as measured; ` +
      `tv = line through the engines' times of the set; td = time per drafted token; closed = one alpha for every position (not judged).\n`,
    draw(formulaTable(report)),
    heading('Formula beside measurement, asynchronous modes, ms per token'),
    `counted = (1 - alpha) · R + alpha · delta: of all tokens the share 1 - alpha waited for the ring (R: draft, H · t1, tv of the frame's rows, longer where the frames behind it share its cores; a model that writes on fills every stage), ` +
      `the others came delta behind the one before (the busiest stage's time for their frames, or the draft time if that is longer). ` +
      `closed: frames without end until a token is wrong, one alpha; delta = max(slowest stage, draft, work / cores, ring / window).\n`,
    draw(asynchronousTable(report)),
    heading('Without delay'),
    draw({
      textColumns: 1,
      header: ['', 'median', 'quartiles'],
      rows: [
        ['overhead per hop, ms', cell(hopOverheadMs.median, 2), quartiles(hopOverheadMs, 2)],
        [
          'one worker on loopback, tok/s',
          cell(singleWorker.gatewayTokensPerSecond.median, 1),
          quartiles(singleWorker.gatewayTokensPerSecond, 1),
        ],
        [
          'bare session, tok/s',
          cell(singleWorker.bareTokensPerSecond.median, 1),
          quartiles(singleWorker.bareTokensPerSecond, 1),
        ],
        ['share of the bare session', cell(singleWorker.share.median, 2), quartiles(singleWorker.share, 2)],
      ],
    }),
    heading('Goals'),
    draw(goalTable(report.goals)),
    heading('Wording of the prompts'),
    draw({ textColumns: 2, header: ['set', 'message'], rows: wording }),
    '',
    `One-way delay by echo: ${cell(oneWay.before, 2)} ms before, ${cell(oneWay.during, 2)} between prompts, ${cell(oneWay.after, 2)} after.`,
  ].join('\n');
}

function speedTable({ summaries }: WanReport): Table {
  return {
    textColumns: 2,
    header: [
      'set',
      'mode',
      'n',
      'looping',
      'tok/s',
      'quartiles',
      'speed-up',
      'alpha',
      'E',
      'drafted',
      'prepared',
      'rounds',
      'B/token',
    ],
    rows: summaries.map((line) => [
      line.set,
      line.lossless ? line.mode : `${line.mode} (lossy)`,
      String(line.outputs),
      String(line.looping),
      cell(line.tokensPerSecond.median, 1),
      quartiles(line.tokensPerSecond, 1),
      `${cell(line.speedUp, 2)}x`,
      cell(line.alpha, 2),
      cell(line.acceptedLength, 2),
      cell(line.draftLength, 1),
      Number.isFinite(line.preparedShare) ? `${cell(100 * line.preparedShare)} %` : '-',
      String(line.rounds),
      cell(line.bytesPerToken),
    ]),
  };
}

function formulaTable({ summaries }: WanReport): Table {
  return {
    textColumns: 2,
    header: ['set', 'mode', 'H', 'tv(rows), ms', 'td', 'measured', 'counted', 'deviation', 'closed'],
    rows: summaries
      .filter(({ overlapping }) => !overlapping)
      .map((line) => [
        line.set,
        line.mode,
        String(line.hops),
        `${cell(line.passMs.intercept, 1)} + ${cell(line.passMs.slope, 1)} · rows`,
        cell(line.tdMs, 2),
        cell(line.measuredMsPerToken, 1),
        cell(line.counted.msPerToken, 1),
        `${cell(100 * formulaDeviation(line), 1)} %`,
        cell(line.closedMsPerToken, 1),
      ]),
  };
}

function asynchronousTable({ summaries }: WanReport): Table {
  return {
    textColumns: 2,
    header: [
      'set',
      'mode',
      'H',
      '1 - alpha',
      'R',
      'delta',
      'td',
      'measured',
      'counted',
      'deviation',
      'closed',
    ],
    rows: summaries
      .filter(({ overlapping }) => overlapping)
      .map((line) => [
        line.set,
        line.mode,
        String(line.hops),
        cell(line.counted.missShare, 3),
        cell(line.counted.ringMs, 1),
        cell(line.counted.deltaMs, 1),
        cell(line.tdMs, 2),
        cell(line.measuredMsPerToken, 1),
        cell(line.counted.msPerToken, 1),
        `${cell(100 * formulaDeviation(line), 1)} %`,
        cell(line.closedMsPerToken, 1),
      ]),
  };
}

function quartiles(
  { lowerQuartile, upperQuartile }: { lowerQuartile: number; upperQuartile: number },
  digits: number,
): string {
  return `${cell(lowerQuartile, digits)}-${cell(upperQuartile, digits)}`;
}
