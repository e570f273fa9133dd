/**
 * `bench simulate`: what the scheduler comes to where every stage has a machine of its own, which no machine at hand can
 * measure. The real scheduler and draft planner, the workers' own queues, under virtual time with given costs. The same
 * with two cores for everything stands beside it, as `bench load` measures here. Everything follows from its seeds.
 */
import { type Environment, readEnvironment } from './environment.ts';
import type { Goal } from './goals.ts';
import { withKept } from './kept-reports.ts';
import { plotName } from './plot-files.ts';
import { type Publication, publish, type Section } from './publish.ts';
import { simulateGoals } from './simulate-goals.ts';
import { simulatePlots } from './simulate-plots.ts';
import { simulateText } from './simulate-text.ts';
import { simulatedTrace, type TraceName, traceNames } from './simulated-trace.ts';
import type { SimulatedLine, SimulationCase } from './simulation-case.ts';
import type { NamedCosts } from './simulation-costs.ts';
import { runCases } from './simulation-threads.ts';
import { mean } from './statistics.ts';
import { markdownTable, plainTable } from './table.ts';

/** Of the machine that `bench load` is run on, which plays all parts. */
const sharedCores = 2;
/** Long beside what users wait for their first prompts; answers of the mixed trace are longer. */
const windowMs = 40_000;
/** Places that are compared, under users enough to fill any of them. */
const placesCompared = [8, 16, 32, 64];
const manyUsers = 64;
/** As many as the longest waits need to show, and runs of seconds allow. */
const requestsOf = { load: 250, mixed: 120 };

/** For the mean of a trace. */
const requestsCounted = 1000;

export interface SimulateOptions extends Publication {
  readonly costs: NamedCosts;
  readonly users: readonly number[];
  /** Rates of arrivals, as shares of what the ring did for most users. */
  readonly rateShares: readonly number[];
  readonly seeds: number;
  /** Default of the gateway. */
  readonly sessionsMax: number;
}

/** A line of requests at a rate, by its order. */
export interface OrderLine extends SimulatedLine {
  readonly rateShare: number;
}

export interface SimulateReport {
  readonly costs: NamedCosts;
  readonly environment: Environment;
  readonly sessionsMax: number;
  readonly sharedCores: number;
  /** Users at once: every stage on a machine of its own, and on the shared cores. */
  readonly users: readonly SimulatedLine[];
  readonly usersOnSharedCores: readonly SimulatedLine[];
  /** Many users by places. */
  readonly places: readonly SimulatedLine[];
  /** Orders at rates, every seed. */
  readonly orders: readonly OrderLine[];
  readonly goals: readonly Goal[];
}

export async function runSimulateBench(options: SimulateOptions): Promise<SimulateReport> {
  const { costs, sessionsMax, print } = options;
  const environment = readEnvironment();
  const progress = (line: SimulatedLine): void =>
    print(`${line.trace}, ${line.setup}, ${line.load}: ${line.tokensPerSecond.toFixed(0)} tokens/s`);
  const usual: Usual = {
    trace: 'load',
    seed: 1,
    policy: 'laps',
    exactLengths: false,
    plain: false,
    batching: true,
    sessionsMax,
    cores: null,
    costs,
  };

  const userCases = usersCases(options, usual);
  const sharedCases = userCases.map((each) => ({ ...each, cores: sharedCores }));
  const placeCases = traceNames.flatMap((trace) =>
    placesCompared.map((places) => ({
      ...{ ...usual, trace, sessionsMax: places, setup: `${places} at work` },
      load: { users: manyUsers, windowMs },
    })),
  );
  const lines = await runCases([...userCases, ...sharedCases, ...placeCases], progress);
  const users = lines.slice(0, userCases.length);
  const usersOnSharedCores = lines.slice(userCases.length, 2 * userCases.length);
  const places = lines.slice(2 * userCases.length);

  const orderCases = traceNames.flatMap((trace) => {
    const most = places.findLast((line) => line.trace === trace && line.setup === `${sessionsMax} at work`);
    const saturation = (most?.tokensPerSecond ?? Number.NaN) / meanOutputTokens(trace);
    return options.rateShares.flatMap((rateShare) =>
      orderCasesAt({ ...usual, trace }, rateShare, rateShare * saturation, options.seeds),
    );
  });
  const orderLines = await runCases(
    orderCases.map(({ asked }) => asked),
    progress,
  );
  const orders = orderLines.map((line, i) => ({ ...line, rateShare: orderCases[i]!.rateShare }));
  const judged = { costs, environment, sessionsMax, sharedCores, users, usersOnSharedCores, places, orders };
  const report = { ...judged, goals: simulateGoals(judged) };
  print(`\n${simulateText(report, plainTable)}\n`);
  const kept = await withKept(options.jsonPath, { claim: 'simulate', reports: [report] }, conditionsOf);
  await publish(options, { json: { claim: 'simulate', reports: kept }, sections: simulateSections(kept) });
  return report;
}

export function simulateSections(reports: readonly SimulateReport[]): Section[] {
  return reports.map((report) => ({
    key: plotName('simulate', report.costs.stages.length, report.costs.nominalT1Ms),
    title: `Simulated: many users, ${report.costs.stages.length} workers each on a machine of its own, t1 = ${report.costs.nominalT1Ms} ms`,
    body: simulateText(report, markdownTable),
    plots: simulatePlots(report),
  }));
}

function conditionsOf({ costs }: SimulateReport): string {
  return `${costs.stages.length} ${costs.nominalT1Ms}`;
}

/** Of answers that are asked for; those that end within a window are the shorter ones. */
function meanOutputTokens(name: TraceName): number {
  const requests = simulatedTrace({ name, requests: requestsCounted, perSecond: 1, seed: 1 });
  return mean(requests.map(({ outputTokens }) => outputTokens));
}

type Usual = Omit<SimulationCase, 'setup' | 'load'>;

function usersCases({ users }: SimulateOptions, usual: Usual): SimulationCase[] {
  const setups = [
    { setup: 'plain', plain: true },
    { setup: 'speculative' },
    { setup: 'plain, single passes', plain: true, batching: false },
    { setup: 'single passes', batching: false },
  ];
  return setups.flatMap((setup) =>
    users.map((count) => ({ ...usual, ...setup, load: { users: count, windowMs } })),
  );
}

/** The policies, and as a bound that by least time with lengths that are known. */
function orderCasesAt(usual: Usual, rateShare: number, perSecond: number, seeds: number) {
  const orders = [
    { setup: 'fcfs', policy: 'fcfs' },
    { setup: 'laps', policy: 'laps' },
    { setup: 'srtf', policy: 'srtf' },
    { setup: 'laps, lengths known', policy: 'laps', exactLengths: true },
    { setup: 'srtf, lengths known', policy: 'srtf', exactLengths: true },
  ] as const;
  const load = { perSecond, requests: requestsOf[usual.trace] };
  return orders.flatMap((order) =>
    Array.from({ length: seeds }, (_, i) => ({
      ...{ rateShare, asked: { ...usual, ...order, seed: i + 1, load } satisfies SimulationCase },
    })),
  );
}
