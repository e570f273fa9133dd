/**
 * Options that benchmarks share, and what they open: the model, its local drafter, where reports go. Settings of the
 * gateway (model, home, quantisation, drafter) come from the environment as they do for `npm start`.
 */
import { type Command, InvalidArgumentError } from 'commander';
import pino from 'pino';
import { systemClock } from '../shards/clock.ts';
import { loadConfig } from '../src/config.ts';
import { openLocalDraft } from '../src/local-draft.ts';
import { resolveModel } from '../src/models/pull.ts';
import { openStore } from '../src/models/store.ts';
import type { ClusterModel } from './cluster.ts';
import type { PromptLimit } from './data-set.ts';
import type { Publication } from './publish.ts';

const ownPrompts = new URL('./prompts.jsonl', import.meta.url).pathname;
export const benchmarksDocument = new URL('../docs/benchmarks.md', import.meta.url).pathname;
/** What published figures of small drafters are measured with, about. */
const usualTokens = 96;
/** Of a smoke test. */
const quickPrompts = 2;
const quickTokens = 32;

export interface PublicationFlags {
  readonly json?: string;
  readonly writeDocs?: string | true;
}

export interface SharedFlags extends PublicationFlags {
  readonly data: readonly string[];
  readonly limit?: number;
  readonly sets?: Readonly<Record<string, number | null>>;
  readonly repeat: number;
  readonly maxTokens?: number;
  readonly model?: string;
  readonly home?: string;
  readonly draft?: string;
  readonly quick?: true;
}

export interface SharedOptions extends ClusterModel, Publication {
  readonly dataPaths: readonly string[];
  readonly limit: PromptLimit;
  readonly repeats: number;
  readonly maxTokens: number;
  /** Name of what `lm` starts, for reports; null: none. */
  readonly localDrafter: string | null;
}

export function withSharedFlags(command: Command): Command {
  return command
    .option('--data <file>', 'prompts: HumanEval, GSM8K, Spec-Bench or own format (repeatable)', collect, [])
    .option('--limit <k>', 'prompts of each data set, spread over it', wholeFrom(1))
    .option('--sets <names>', 'only these sets, some with a limit of their own: humaneval=4,gsm8k', setLimits)
    .option('--repeat <r>', 'passes over all prompts', wholeFrom(1), 1)
    .option('--max-tokens <n>', `longest answer (${usualTokens})`, wholeFrom(2))
    .option('--json <file>', 'write the report')
    .option('--model <name>', 'catalog name or path of a .gguf file')
    .option('--draft <name>', 'local drafter: auto, none, a draft head or a model')
    .option('--home <folder>', 'store of models and packs')
    .option(
      '--quick',
      `${quickPrompts} prompts of each set, ${quickTokens} tokens: a smoke test, not a measurement`,
    )
    .option('--write-docs [file]', 'write tables and plots into docs/benchmarks.md, or that file');
}

/** Resolves and packs what is not there yet. Throws ConfigError, PullError, ModelFileError. */
export async function openShared(flags: SharedFlags): Promise<SharedOptions> {
  const { model: name, home, draft } = flags;
  const config = loadConfig(undefined, {
    ...(name === undefined ? {} : { model: name }),
    ...(home === undefined ? {} : { home }),
    ...(draft === undefined ? {} : { draft }),
  });
  const publication = publicationOf(flags);
  const { print } = publication;
  const resolve = { store: await openStore(config.home), log: { info: print, warn: print } };
  const model = await resolveModel(config.model, resolve);
  const lm = await openLocalDraft({
    ...{ draft: config.draft, target: model, home: config.home, resolve, now: systemClock.now },
    onFailure: (error) => print(`the local drafter failed: ${error.message}`),
  });
  return {
    ...{ model, lm, home: config.home, quantisation: config.quantisation, kvBytesMax: config.kvBytes },
    localDrafter: lm === null ? null : config.draft,
    log: pino({ level: 'warn' }, pino.destination({ dest: 2, sync: true })),
    dataPaths: flags.data.length > 0 ? flags.data : [ownPrompts],
    limit: { each: flags.limit ?? (flags.quick ? quickPrompts : null), only: flags.sets ?? null },
    repeats: flags.repeat,
    maxTokens: flags.maxTokens ?? (flags.quick ? quickTokens : usualTokens),
    ...publication,
  };
}

export function publicationOf({ json, writeDocs }: PublicationFlags): Publication {
  return {
    jsonPath: json ?? null,
    documentPath: documentOf(writeDocs),
    print: (line) => void process.stdout.write(`${line}\n`),
  };
}

function documentOf(asked: string | true | undefined): string | null {
  if (asked === undefined) return null;
  return asked === true ? benchmarksDocument : asked;
}

export function wholeFrom(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= least) return value;
    throw new InvalidArgumentError(`Expected a whole number of at least ${least}.`);
  };
}

export function numberFrom(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text !== '' && Number.isFinite(value) && value >= least) return value;
    throw new InvalidArgumentError(`Expected a number of at least ${least}.`);
  };
}

/** Items with commas between them, each read by `parse`. */
export function listOf<T>(parse: (text: string) => T): (text: string) => T[] {
  return (text) => text.split(',').map((item) => parse(item.trim()));
}

function setLimits(text: string): Record<string, number | null> {
  const items = text.split(',').map((item) => item.trim().split('='));
  return Object.fromEntries(
    items.map(([name, limit]) => [name, limit === undefined ? null : wholeFrom(1)(limit)]),
  );
}

export function collect(path: string, paths: readonly string[]): string[] {
  return [...paths, path];
}
