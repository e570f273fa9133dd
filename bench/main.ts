/**
 * `npm run bench -- NAME`: one command per published claim. Settings of the gateway (model, home, quantisation) come
 * from the environment as they do for `npm start`. Ends with code 1 if outputs differ between modes: that is a defect,
 * while a missed speed goal is a result.
 */
import { Command, InvalidArgumentError } from 'commander';
import pino from 'pino';
import { ConfigError, loadConfig } from '../src/config.ts';
import { resolveModel } from '../src/models/pull.ts';
import { openStore } from '../src/models/store.ts';
import { runWanBench } from './wan.ts';

const ownPrompts = new URL('./prompts.jsonl', import.meta.url).pathname;
const benchmarksDocument = new URL('../docs/benchmarks.md', import.meta.url).pathname;

interface WanFlags {
  readonly t1: number;
  readonly workers: number;
  readonly data: readonly string[];
  readonly limit?: number;
  readonly repeat: number;
  readonly maxTokens: number;
  readonly mbit?: number;
  readonly jitter: number;
  readonly json?: string;
  readonly model?: string;
  readonly home?: string;
  readonly quick?: true;
  readonly writeDocs?: true;
}

const program = new Command('bench').description('Measures what Foretoken claims.');

program
  .command('wan')
  .description('plain and speculative decoding over workers behind slow links')
  .option('--t1 <ms>', 'one-way delay of every link', atLeast(0), 15)
  .option('--workers <n>', 'worker processes', wholeFrom(1), 4)
  .option('--data <file>', 'prompts: HumanEval, GSM8K, Spec-Bench or own format (repeatable)', collect, [])
  .option('--limit <k>', 'prompts of each data set, spread over it', wholeFrom(1))
  .option('--repeat <r>', 'passes over all prompts', wholeFrom(1), 1)
  .option('--max-tokens <n>', 'longest answer', wholeFrom(2), 96)
  .option('--mbit <n>', 'bandwidth of every link and direction (unlimited)', atLeast(0.001))
  .option('--jitter <ms>', 'every chunk waits up to this much longer, seeded', atLeast(0), 0)
  .option('--json <file>', 'write the report')
  .option('--model <name>', 'catalog name or path of a .gguf file')
  .option('--home <folder>', 'store of models and packs')
  .option('--quick', 'two prompts of each set, 32 tokens: a smoke test, not a measurement')
  .option('--write-docs', 'write the tables into docs/benchmarks.md')
  .action(wan);

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`bench: ${explain(error)}\n`);
  process.exitCode = 1;
}

async function wan(flags: WanFlags): Promise<void> {
  const { model: name, home } = flags;
  const config = loadConfig(undefined, {
    ...(name === undefined ? {} : { model: name }),
    ...(home === undefined ? {} : { home }),
  });
  const print = (line: string): void => void process.stdout.write(`${line}\n`);
  const model = await resolveModel(config.model, {
    store: await openStore(config.home),
    log: { info: print, warn: print },
  });
  const report = await runWanBench({
    ...{ model, home: config.home, quantisation: config.quantisation, kvBytesMax: config.kvBytes },
    log: pino({ level: 'warn' }, pino.destination({ dest: 2, sync: true })),
    t1Ms: flags.t1,
    workers: flags.workers,
    mbit: flags.mbit ?? null,
    jitterMs: flags.jitter,
    dataPaths: flags.data.length > 0 ? flags.data : [ownPrompts],
    limit: flags.limit ?? (flags.quick ? 2 : null),
    repeats: flags.repeat,
    maxTokens: flags.quick ? 32 : flags.maxTokens,
    jsonPath: flags.json ?? null,
    documentPath: flags.writeDocs ? benchmarksDocument : null,
    print,
  });
  if (report.differences.length > 0) process.exitCode = 1;
}

/** What a system or a source refuses needs no stack. */
function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error instanceof ConfigError || 'code' in error ? error.message : (error.stack ?? error.message);
}

function wholeFrom(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= least) return value;
    throw new InvalidArgumentError(`Expected a whole number of at least ${least}.`);
  };
}

function atLeast(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isFinite(value) && value >= least) return value;
    throw new InvalidArgumentError(`Expected a number of at least ${least}.`);
  };
}

function collect(path: string, paths: readonly string[]): string[] {
  return [...paths, path];
}
