/**
 * `npm run bench -- NAME`: one command per published claim. Ends with code 1 if outputs differ between lossless modes:
 * that is a defect, while a missed speed goal is a result.
 */
import { Command, InvalidArgumentError } from 'commander';
import { ConfigError, loadConfig } from '../src/config.ts';
import { runAdaptiveBench } from './adaptive.ts';
import { runBatchingBench } from './batching.ts';
import {
  benchmarksDocument,
  collect,
  listOf,
  numberFrom,
  openShared,
  type PublicationFlags,
  publicationOf,
  type SharedFlags,
  wholeFrom,
  withSharedFlags,
} from './bench-flags.ts';
import { runDraftersBench } from './drafters.ts';
import { runLoadBench } from './load.ts';
import { chosenModes } from './modes.ts';
import { runPeerBench } from './peer.ts';
import { runPrefillBench } from './prefill.ts';
import { runProfileBench } from './profile.ts';
import { writeReport } from './report.ts';
import { runSimulateBench } from './simulate.ts';
import { costsOfReport, type KnownProcessor, knownCosts, knownPasses } from './simulation-costs.ts';
import { runSweepBench } from './sweep.ts';
import { runWanBench } from './wan.ts';
import { wanModes } from './wan-modes.ts';

/** One ring that is measured at one delay or at several. */
interface RingFlags extends SharedFlags {
  readonly t1?: readonly number[];
  readonly workers: number;
}

/** The delay that goals are stated for; a smoke test looks at no other. */
const usualDelays = [15];
/** A prompt takes seconds, and a busy moment of the machine shows. */
const prefillRepeats = 3;
/** Passes of each size, for their median. */
const usualPasses = 25;
const quickPasses = 7;
const loadDelays = [0, 15];
const sweptDelays = [1, 5, 15, 50];
const sweptLengths = [1, 2, 4, 8, 16];

interface LoadFlags extends SharedFlags {
  readonly t1?: readonly number[];
  readonly workers: number;
  readonly users?: readonly number[];
  readonly seconds?: number;
  readonly longSeconds?: number;
  readonly rates?: readonly number[];
}

interface SimulateFlags extends PublicationFlags {
  readonly costs?: string;
  readonly processor: KnownProcessor;
  readonly t1: number;
  readonly workers: number;
  readonly seeds?: number;
  readonly quick?: true;
}

interface WanFlags extends SharedFlags {
  readonly modes?: readonly string[];
  readonly t1: readonly number[];
  readonly workers: readonly number[];
  readonly mbit?: number;
  readonly jitter: number;
}

const program = new Command('bench').description('Measures what Foretoken claims.');

withSharedFlags(program.command('wan'))
  .description('plain and speculative decoding over workers behind slow links')
  .option('--modes <names>', `of: ${wanModes.map(({ name }) => name).join(', ')}`, listOf(wanModeName))
  .option('--t1 <ms>', 'one-way delays of every link', listOf(numberFrom(0)), [15])
  .option(
    '--workers <n>',
    'worker processes; a cluster for each pair with a delay',
    listOf(wholeFrom(1)),
    [4],
  )
  .option('--mbit <n>', 'bandwidth of every link and direction (unlimited)', numberFrom(0.001))
  .option('--jitter <ms>', 'every chunk waits up to this much longer, seeded', numberFrom(0), 0)
  .action(async (flags: WanFlags) => {
    const modes = chosenModes(wanModes, flags.modes ?? null);
    const shared = await openShared(flags);
    const { t1: t1Ms, workers, mbit = null, jitter: jitterMs } = flags;
    failOn(await runWanBench({ ...shared, modes, t1Ms, workers, mbit, jitterMs }));
  });

withSharedFlags(program.command('drafters'))
  .description('acceptance by position and tokens per round of each drafter, without links')
  .option('--draft-max <n>', 'tokens that a drafter is asked for', wholeFrom(1), 8)
  .action(async (flags: SharedFlags & { draftMax: number }) => {
    await runDraftersBench({ ...(await openShared(flags)), draftTokensMax: flags.draftMax });
  });

ring(program.command('sweep'), sweptDelays)
  .description('is the automatic draft length as good as the best fixed one?')
  .option('--lengths <n>', 'fixed draft lengths', listOf(wholeFrom(1)), sweptLengths)
  .action(async (flags: RingFlags & { lengths: readonly number[] }) => {
    const { quick, t1: t1Ms = quick ? usualDelays : sweptDelays, workers, lengths } = flags;
    failOn(await runSweepBench({ ...(await openShared(flags)), t1Ms, workers, lengths }));
  });

ring(program.command('adaptive'), usualDelays)
  .description('adaptive verification: speed against quality over tau')
  .option('--taus <t>', 'slacks', listOf(numberFrom(0)), [0, 0.1, 0.2, 0.3, 0.4])
  .action(async (flags: RingFlags & { taus: readonly number[] }) => {
    const { t1: t1Ms = usualDelays, workers, taus } = flags;
    failOn(await runAdaptiveBench({ ...(await openShared(flags)), t1Ms, workers, taus }));
  });

ring(program.command('peer'), usualDelays)
  .description('against llama.cpp over its rpc-servers, behind links of the same delay')
  .requiredOption('--llama-server <file>', 'its server program')
  .requiredOption('--rpc-server <file>', 'its program for the far machines')
  .action(async (flags: RingFlags & { llamaServer: string; rpcServer: string }) => {
    const { t1: t1Ms = usualDelays, workers, llamaServer, rpcServer } = flags;
    failOn(await runPeerBench({ ...(await openShared(flags)), t1Ms, workers, llamaServer, rpcServer }));
  });

withSharedFlags(program.command('load'))
  .description('many users on one ring: throughput, latencies and goodput from idle to saturation')
  .option('--t1 <ms>', 'one-way delays of every link (0,15)', listOf(numberFrom(0)))
  .option('--workers <n>', 'worker processes', wholeFrom(1), 4)
  .option('--users <n>', 'users at once (1,2,4,8,16)', listOf(wholeFrom(1)))
  .option(
    '--rates <shares>',
    'arrivals, as shares of what most users get (0.25,0.5,0.75,0.9,1.1)',
    listOf(numberFrom(0.01)),
  )
  .option('--seconds <s>', 'length of each measurement (30)', numberFrom(1))
  .option('--long-seconds <s>', 'the same of most users and of the policies (90)', numberFrom(1))
  .action(async (flags: LoadFlags) => {
    const { quick = false, workers } = flags;
    const t1Ms = flags.t1 ?? (quick ? usualDelays : loadDelays);
    const users = flags.users ?? (quick ? [1, 8] : [1, 2, 4, 8, 16]);
    const windowMs = 1000 * (flags.seconds ?? (quick ? 12 : 30));
    const longWindowMs =
      flags.longSeconds === undefined ? (quick ? 1 : 3) * windowMs : 1000 * flags.longSeconds;
    const rateShares = flags.rates ?? (quick ? [0.5, 1] : [0.25, 0.5, 0.75, 0.9, 1.1]);
    const windows = { windowMs, longWindowMs };
    const { sessionsMax } = loadConfig({}, {});
    const load = { t1Ms, workers, users, rateShares, sessionsMax, ...windows };
    failOn(await runLoadBench({ ...(await openShared(flags)), ...load }));
  });

program
  .command('simulate')
  .description(
    'many users under virtual time, every stage on a machine of its own: orders, places, and cores',
  )
  .option('--costs <file>', 'fitted ones, of a report of load')
  .option(
    '--processor <name>',
    `without a file: ${Object.keys(knownPasses).join(', ')}`,
    processorName,
    'vnni',
  )
  .option('--t1 <ms>', 'one-way delay of every link, without a file', numberFrom(0), usualDelays[0])
  .option('--workers <n>', 'stages, without a file', wholeFrom(1), 4)
  .option('--seeds <n>', 'traces that orders are compared on (3)', wholeFrom(1))
  .option('--json <file>', 'write the report')
  .option('--quick', 'fewer users, rates and seeds')
  .option('--write-docs [file]', 'write tables and plots into docs/benchmarks.md, or that file')
  .action(async (flags: SimulateFlags) => {
    const { costs, processor, t1, workers, quick = false } = flags;
    const { sessionsMax } = loadConfig({}, {});
    await runSimulateBench({
      ...publicationOf(flags),
      costs: costs === undefined ? knownCosts(processor, workers, t1) : await costsOfReport(costs),
      users: quick ? [1, 8, 16] : [1, 2, 4, 8, 16, 32],
      rateShares: quick ? [0.75, 1] : [0.5, 0.75, 1, 1.25, 1.5],
      seeds: flags.seeds ?? (quick ? 1 : 3),
      sessionsMax,
    });
  });

withSharedFlags(program.command('prefill'))
  .description('time to the first token of a long prompt: over sizes of chunks, and of a second turn')
  .option('--t1 <ms>', 'one-way delay of every link', numberFrom(0), usualDelays[0])
  .option('--workers <n>', 'worker processes', wholeFrom(1), 4)
  .option('--prompt <tokens>', 'length of the prompt', wholeFrom(64), 1000)
  .action(async (flags: SharedFlags & { t1: number; workers: number; prompt: number }) => {
    const { t1: t1Ms, workers, prompt: promptTokens, quick } = flags;
    const repeats = quick ? 1 : Math.max(flags.repeat, prefillRepeats);
    await runPrefillBench({ ...(await openShared(flags)), t1Ms, workers, promptTokens, repeats });
  });

withSharedFlags(program.command('batching'))
  .description('rows of several sessions one by one and in one pass, and the memory of either form')
  .action(async (flags: SharedFlags) => {
    const repeats = flags.quick ? quickPasses : Math.max(flags.repeat, usualPasses);
    await runBatchingBench({ ...(await openShared(flags)), repeats });
  });

withSharedFlags(program.command('profile'))
  .description("the gateway's and the workers' own time in a round by function, without delay")
  .option('--workers <n>', 'worker processes', wholeFrom(1), 4)
  .option('--keep <folder>', 'leave the profiles there, for a viewer of flame graphs')
  .action(async (flags: SharedFlags & { workers: number; keep?: string }) => {
    const { workers, keep: keepIn = null } = flags;
    await runProfileBench({ ...(await openShared(flags)), workers, keepIn });
  });

program
  .command('report')
  .description('writes docs/benchmarks.md anew out of what --json has kept, and the table of all goals')
  .requiredOption('--json <file>', 'what a benchmark has written (repeatable)', collect, [])
  .option('--write-docs <file>', 'the document', benchmarksDocument)
  .action(({ json, writeDocs }: { json: readonly string[]; writeDocs: string }) =>
    writeReport(json, writeDocs, (line) => void process.stdout.write(`${line}\n`)),
  );

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`bench: ${explain(error)}\n`);
  process.exitCode = 1;
}

function ring(command: Command, delays: readonly number[]): Command {
  return withSharedFlags(command)
    .option('--t1 <ms>', `one-way delays of every link (${delays.join(',')})`, listOf(numberFrom(0)))
    .option('--workers <n>', 'worker processes', wholeFrom(1), 4);
}

function wanModeName(text: string): string {
  if (wanModes.some(({ name }) => name === text)) return text;
  throw new InvalidArgumentError(`There is no mode '${text}'; see --help.`);
}

function processorName(text: string): KnownProcessor {
  if (text in knownPasses) return text as KnownProcessor;
  throw new InvalidArgumentError(`Expected one of ${Object.keys(knownPasses).join(', ')}.`);
}

function failOn(reports: readonly { readonly differences: readonly unknown[] }[]): void {
  if (reports.some(({ differences }) => differences.length > 0)) process.exitCode = 1;
}

/** What a system or a source refuses needs no stack. */
function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error instanceof ConfigError || 'code' in error ? error.message : (error.stack ?? error.message);
}
