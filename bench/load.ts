/**
 * `bench load`: many users on one ring. Users who ask one after the other, from one to saturation; requests that arrive
 * at a constant rate, from idle to beyond what the ring can do; one plain session beside them as the base. All take the
 * same trace; equal requests must be answered equally, whoever else is served.
 */
import { schedulingPolicies } from '../src/engine/policy.ts';
import type { Serving } from '../src/serving.ts';
import { prepareTasks } from './bench-tasks.ts';
import { type BenchCluster, type ClusterModel, type GatewayLoad, startCluster } from './cluster.ts';
import type { PromptLimit } from './data-set.ts';
import { benchSeed } from './delayed-run.ts';
import { type Environment, readEnvironment, readLoad } from './environment.ts';
import type { Goal } from './goals.ts';
import { type HeldOut, judgeHeldOut } from './held-out.ts';
import { withKept } from './kept-reports.ts';
import { drive, type Load, type LoadRun } from './load-drive.ts';
import { loadGoals } from './load-goals.ts';
import { loadPlots } from './load-plots.ts';
import {
  differingAnswers,
  type LoadLine,
  linesBelowKnee,
  meanAnswerTokens,
  samplesOf,
  summariseLoad,
} from './load-summary.ts';
import { loadText } from './load-text.ts';
import { type TraceRequest, traceOf } from './load-trace.ts';
import { type BenchMode, plainChain, speculative } from './modes.ts';
import { plotName } from './plot-files.ts';
import { type Publication, publish, type Section } from './publish.ts';
import type { SimulatedCosts } from './simulated-load.ts';
import { fittedCosts } from './simulation-costs.ts';
import { markdownTable, plainTable } from './table.ts';

/** Longest answer of the trace; prompts leave room for it. */
const answerTokensMax = 96;
/** Requests that wait at most: more than any measurement asks for. */
const queuedMax = 10_000;

const echoes = 15;
/** Policies are compared where a queue forms, and lives as long as it takes: who is late counts, too. */
const policyShare = 1.25;
const policyGraceMs = 60_000;

const spec = speculative('speculative', { drafter: 'auto', rounds: 'auto' });

export interface LoadBenchOptions extends ClusterModel, Publication {
  readonly workers: number;
  readonly t1Ms: readonly number[];
  readonly users: readonly number[];
  /** Rates of arrivals, as shares of what the ring did for most users. */
  readonly rateShares: readonly number[];
  /** One measurement takes so long, and requests that arrived in it up to half as long more. */
  readonly windowMs: number;
  /** Of most users and of the policies, whose late answers are compared: a 99th percentile takes a hundred answers. */
  readonly longWindowMs: number;
  /** Sessions at work where policies are compared: as many as a gateway takes. */
  readonly sessionsMax: number;
  readonly dataPaths: readonly string[];
  readonly limit: PromptLimit;
  readonly localDrafter: string | null;
}

export interface LoadReport {
  readonly model: string;
  readonly workers: number;
  readonly t1Ms: number;
  readonly measuredT1Ms: number;
  readonly windowMs: number;
  readonly longWindowMs: number;
  readonly environment: Environment;
  readonly loadAverageAfter: number;
  readonly localDrafter: string | null;
  readonly lines: readonly LoadLine[];
  /** Predicted times on the ring of all loads below the knee; null where their answers are too few. */
  readonly heldOut: HeldOut | null;
  /** As the latency model has them behind one user alone; left out where that was not measured. For simulations. */
  readonly costs?: SimulatedCosts;
  /** Requests whose answer depended on who else was served. */
  readonly differences: readonly string[];
  readonly goals: readonly Goal[];
}

export async function runLoadBench(options: LoadBenchOptions): Promise<LoadReport[]> {
  const { print } = options;
  const { tasks } = await prepareTasks({
    ...options,
    modelPath: options.model.path,
    maxTokens: answerTokensMax,
  });
  const trace = traceOf(tasks, benchSeed);
  const reports: LoadReport[] = [];
  for (const t1Ms of options.t1Ms) {
    const report = await measureLoads(options, trace, t1Ms);
    print(`\n${loadText(report, plainTable)}\n`);
    reports.push(report);
    const kept = await withKept(options.jsonPath, { claim: 'load', reports }, conditionsOf);
    await publish(options, { json: { claim: 'load', reports: kept }, sections: loadSections(kept) });
  }
  return reports;
}

export function loadSections(reports: readonly LoadReport[]): Section[] {
  return reports.map((report) => ({
    key: plotName('load', report.workers, report.t1Ms),
    title: `Many users: ${report.workers} workers, t1 = ${report.t1Ms} ms`,
    body: loadText(report, markdownTable),
    plots: loadPlots(report),
  }));
}

function conditionsOf({ model, workers, t1Ms }: LoadReport): string {
  return `${model} ${workers} ${t1Ms}`;
}

type Trace = (place: number) => TraceRequest;

async function measureLoads(options: LoadBenchOptions, trace: Trace, t1Ms: number): Promise<LoadReport> {
  const { workers, windowMs, longWindowMs, users, model, localDrafter } = options;
  const environment = readEnvironment();
  const lines: LoadLine[] = [];
  const runs: LoadRun[] = [];
  const usersMost = Math.max(...users);
  let measuredT1Ms = Number.NaN;
  let costs: SimulatedCosts | null = null;

  const onCluster = async (
    batchSessions: number | null,
    measure: (at: Measure) => Promise<void>,
  ): Promise<void> => {
    options.print(`starting ${workers} workers behind links of ${t1Ms} ms ...`);
    const model = batchSessions === null ? options : { ...options, batchSessions };
    const cluster = await startCluster(model, workers, {
      ...{ delayMs: t1Ms, mbit: null, jitterMs: 0, seed: benchSeed },
    });
    try {
      measuredT1Ms = await cluster.links.measureOneWayMs(echoes);
      await measure(measureOn(cluster));
    } finally {
      await cluster.close();
    }
  };
  const measureOn = (cluster: BenchCluster): Measure => {
    const gateways = new Map<string, Promise<Serving>>();
    /** One for each setup, so that what it has learned of the ring stays with it. */
    const gatewayOf = (setup: string, load: GatewayLoad): Promise<Serving> => {
      const known = gateways.get(setup);
      const opened = known ?? cluster.openGateway('chain', { sessionsMax: usersMost, queuedMax, ...load });
      gateways.set(setup, opened);
      return opened;
    };
    return async (mode, load, setup, { gatewayLoad = {}, long = false, graceMs = windowMs / 2 } = {}) => {
      const gateway = await gatewayOf(setup, gatewayLoad);
      const open = 'perSecond' in load;
      const run = await drive({
        ...{
          gateway,
          trace,
          load,
          windowMs: long ? longWindowMs : windowMs,
          seed: benchSeed,
          speculation: mode.speculation,
          pids: cluster.pids,
        },
        graceMs,
      });
      const amount = open ? load.perSecond : load.users;
      const name = open ? `${amount.toFixed(2)} / s` : `${amount} user${amount === 1 ? '' : 's'}`;
      if (mode === spec && !open && amount === 1)
        costs = fittedCosts(gateway.scheduler.latency, measuredT1Ms);
      const line = summariseLoad(run, { load: name, setup, amount, t1Ms, open });
      runs.push(run);
      lines.push(line);
      options.print(
        `${setup}, ${name}: ${line.tokensPerSecond.toFixed(1)} tokens/s, first token ${line.firstTokenMs.p50.toFixed(0)} ms, ` +
          `${line.perTokenMs.p50.toFixed(0)} ms a token, ${line.finished} of ${line.asked} answered, CPU ${(100 * line.cpuShare).toFixed(0)} %`,
      );
      return line;
    };
  };

  await onCluster(null, async (measure) => {
    await measure(plainChain, { users: 1 }, 'plain');
    let most = 0;
    for (const count of users) {
      const line = await measure(spec, { users: count }, 'speculative', { long: count === usersMost });
      most = Math.max(most, line.tokensPerSecond);
    }
    const saturation = most / meanAnswerTokens(runs);
    for (const share of options.rateShares)
      await measure(spec, { perSecond: share * saturation }, 'speculative');
    // Without delay rounds are short and little waits: the order tells less.
    if (t1Ms === 0) return;
    for (const scheduling of schedulingPolicies) {
      const gatewayLoad = { scheduling, sessionsMax: options.sessionsMax };
      const load = { perSecond: policyShare * saturation };
      await measure(spec, load, scheduling, { gatewayLoad, long: true, graceMs: policyGraceMs });
    }
  });
  await onCluster(1, async (measure) => {
    await measure(spec, { users: usersMost }, 'single passes', { long: true });
  });
  const belowKnee = linesBelowKnee(lines);
  const samples = runs
    .filter((_, i) => belowKnee.includes(lines[i]!))
    .map(({ answers }) => samplesOf(answers));
  const report = {
    ...{ model: model.name, workers, t1Ms, measuredT1Ms, windowMs, longWindowMs, environment, localDrafter },
    ...{ lines, heldOut: judgeHeldOut(samples) },
    ...(costs === null ? {} : { costs }),
    loadAverageAfter: readLoad(),
    differences: differingAnswers(runs.map(({ answers }) => answers)),
  };
  return { ...report, goals: loadGoals(report) };
}

type Measure = (
  mode: BenchMode,
  load: Load,
  setup: string,
  options?: { readonly gatewayLoad?: GatewayLoad; readonly long?: boolean; readonly graceMs?: number },
) => Promise<LoadLine>;
