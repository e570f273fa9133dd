/** A simulated report as text: the same tables for the terminal and for docs/benchmarks.md. */
import { goalTable } from './goals.ts';
import type { SimulateReport } from './simulate.ts';
import { type ComparedOrder, compareOrders } from './simulate-orders.ts';
import type { SimulatedLine } from './simulation-case.ts';
import { describeCosts } from './simulation-costs.ts';
import { median, type Spread } from './statistics.ts';
import { cell, type Table } from './table.ts';

export function simulateText(report: SimulateReport, draw: (table: Table) => string): string {
  const { costs, environment, sessionsMax, sharedCores, users, usersOnSharedCores, places, orders, goals } =
    report;
  const compared = compareOrders(orders);
  const seeds = new Set(orders.map(({ seed }) => seed)).size;
  return [
    "**Nothing here is measured.** The real scheduler, draft planner and workers' queues run under virtual time; passes, drafts and links take what they are given. " +
      'Left out are sockets, the suffix index and drafts that are prepared ahead.\n',
    `Costs: ${describeCosts(costs)}. ${sessionsMax} sessions at work at most, up to 8 in a pass; commit ${environment.commit ?? 'unknown'}, ${environment.date}. ` +
      'Trace `load`: the requests of `bench load`, whose answers mostly end by themselves (log-normal, median 25 tokens); trace `mixed`: log-normal lengths, a tenth of the answers around 600 tokens. ' +
      'Times in s; busy = share of the time in which a stage has a pass, mean of all; cores = share of the cores that work.\n',
    '### Users at once\n',
    `Left: a machine for every stage and for the gateway. Right: ${sharedCores} cores for everything, as where \`bench load\` is measured. A user = rate of one user.\n`,
    draw(usersTable(users, usersOnSharedCores)),
    '\n### How many at work at once\n',
    'FORETOKEN_MAX_SESSIONS under more users than any of them takes.\n',
    draw(placesTable(places)),
    '\n### Who goes first\n',
    `Requests at a constant rate, share of saturation (what ${sessionsMax} sessions at work came to above); medians of ${seeds} seeds, from smallest to largest in brackets; ratios to fcfs on the same requests. ` +
      'Lengths known: max_tokens of each request is the length of its answer, which no product knows; it bounds what better predictions of length could give.\n',
    draw(ordersTable(compared)),
    '',
    draw(goalTable(goals)),
  ].join('\n');
}

function usersTable(own: readonly SimulatedLine[], shared: readonly SimulatedLine[]): Table {
  return {
    textColumns: 2,
    header: [
      ...['setup', 'load', 'tokens/s', 'a user', 'first token p50', 'p95', 'busy'],
      ...['tokens/s', 'a user', 'first token p50', 'p95', 'busy', 'cores'],
    ],
    rows: own.map((line, i) => [
      ...[line.setup, line.load, ...usersCells(line)],
      ...[...usersCells(shared[i]!), percent(shared[i]!.cpuShare)],
    ]),
  };
}

function usersCells({ tokensPerSecond, userTokensPerSecond, firstTokenMs, stagesBusy }: SimulatedLine) {
  return [
    ...[cell(tokensPerSecond, 1), cell(userTokensPerSecond, 1)],
    ...[seconds(firstTokenMs.p50), seconds(firstTokenMs.p95), percent(stagesBusy)],
  ];
}

function placesTable(lines: readonly SimulatedLine[]): Table {
  return {
    textColumns: 3,
    header: ['trace', 'places', 'load', 'tokens/s', 'busy', 'first token p50', 'p95', 'latency mean', 'p99'],
    rows: lines.map((line) => [
      ...[line.trace, line.setup, line.load, cell(line.tokensPerSecond, 1), percent(line.stagesBusy)],
      ...[seconds(line.firstTokenMs.p50), seconds(line.firstTokenMs.p95)],
      ...[seconds(line.meanLatencyMs), seconds(line.latencyMs.p99)],
    ]),
  };
}

function ordersTable(compared: readonly ComparedOrder[]): Table {
  return {
    textColumns: 3,
    header: [
      ...['trace', 'rate', 'order', 'mean', 'p50', 'p95', 'p99', 'first token mean', 'p95', 'mean / fcfs'],
      ...['p50 / fcfs', 'p95 / fcfs', 'p99 / fcfs', 'first token mean / fcfs', 'p95 / fcfs'],
    ],
    rows: compared.map((each) => {
      const { trace, rateShare, order, lines } = each;
      const typical = (of: (line: SimulatedLine) => number): string => seconds(median(lines.map(of)));
      return [
        ...[trace, cell(rateShare, 2), order],
        typical(({ meanLatencyMs }) => meanLatencyMs),
        ...(['p50', 'p95', 'p99'] as const).map((share) => typical(({ latencyMs }) => latencyMs[share])),
        typical(({ meanFirstTokenMs }) => meanFirstTokenMs),
        typical(({ firstTokenMs }) => firstTokenMs.p95),
        ...[each.mean, each.p50, each.p95, each.p99, each.meanFirstToken, each.p95FirstToken].map(ratio),
      ];
    }),
  };
}

function ratio({ min, median: middle, max }: Spread): string {
  return min === max ? cell(middle, 2) : `${cell(middle, 2)} (${cell(min, 2)}-${cell(max, 2)})`;
}

function seconds(ms: number): string {
  return cell(ms / 1000, 2);
}

function percent(share: number): string {
  return Number.isFinite(share) ? `${cell(100 * share)} %` : '-';
}
