/**
 * The process entry: `foretoken` serves, `foretoken worker` serves a shard, `foretoken pull` fetches a model,
 * `foretoken keys` makes an API key. Flags
 * come from the settings' schema; errors that a user can mend are one message, all others a stack. The only file that
 * ends the process.
 */
import closeWithGrace from 'close-with-grace';
import { Command } from 'commander';
import pino, { type Logger } from 'pino';
import pretty from 'pino-pretty';
import { keyNamePattern, makeApiKey } from './api-keys.ts';
import { RouteError } from './cluster/route.ts';
import {
  ConfigError,
  loadConfig,
  loadWorkerConfig,
  pinArithmeticEnvironment,
  processEnvironment,
} from './config.ts';
import { WorkerStartError } from './embedded-workers.ts';
import { startGateway } from './gateway.ts';
import { ModelFileError } from './models/model-file-error.ts';
import { createPullReporter } from './models/progress.ts';
import { resolveModel } from './models/pull.ts';
import { PullError } from './models/pull-error.ts';
import { openStore } from './models/store.ts';
import { DatabaseFileError } from './responses/database.ts';
import { gatewaySettings, type Setting, type WorkerConfig, workerSettings } from './settings.ts';
import { createStartScreen } from './start-screen.ts';
import { TextError } from './text/text-error.ts';
import { version } from './version.ts';
import { startWorkerNode, type WorkerNode } from './worker-node.ts';
import type { WorkerNote } from './worker-note.ts';

/** After this a stop is forced: a person at the keyboard has waited long enough. */
const closeDelayMs = 2_500;
/** A terminal sends Ctrl-C to npm, to the launcher and to us; those two hand it on, and that is no second wish. */
const signalEchoMs = 500;
const stopSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Errors whose message says what to do. */
const mendable = [
  ConfigError,
  PullError,
  ModelFileError,
  TextError,
  RouteError,
  WorkerStartError,
  DatabaseFileError,
  RangeError,
];

const program = new Command('foretoken')
  .description('OpenAI-compatible gateway for a model cut into layer shards on machines far apart.')
  .version(version)
  .showSuggestionAfterError();

const serve = program
  .command('serve', { isDefault: true })
  .description('serve the API, over embedded workers or those of --workers')
  .action((flags: Record<string, unknown>) => run(() => serveGateway(flags)));
addSettings(serve, gatewaySettings);

const worker = program
  .command('worker')
  .description('serve one layer range to a gateway')
  .action((flags: Record<string, unknown>) => run(() => serveWorker(flags)));
addSettings(worker, workerSettings);

const pull = program
  .command('pull')
  .description('fetch a model of the catalog into the store')
  .action((flags: Record<string, unknown>) => run(() => pullModel(flags)));
addSettings(
  pull,
  gatewaySettings.filter(({ key }) => key === 'model' || key === 'home'),
);

program
  .command('keys')
  .description('make an API key: prints the key and its line for the file of FORETOKEN_API_KEYS')
  .option('--name <name>', 'name of the key in its line')
  .action(({ name }: { name?: string }) => run(async () => printApiKey(name ?? null)));

await program.parseAsync();

function addSettings(command: Command, settings: readonly Setting[]): void {
  for (const { flags, description, env, fallback } of settings) {
    const unset = fallback === null ? ' (required)' : fallback === '' ? '' : ` (default: ${fallback})`;
    command.option(flags, `${description}${unset} [${env}]`);
  }
}

async function serveGateway(flags: Record<string, unknown>): Promise<void> {
  const config = loadConfig(processEnvironment, flags);
  const log = createLog(config.logLevel);
  const screen = createStartScreen(process.stdout, () => performance.now());
  // On a terminal the screen tells of the start; the same in the log would tear it apart.
  if (process.stderr.isTTY && config.logLevel === 'info') log.level = 'warn';
  process.stdout.write(`Foretoken ${version}\n`);
  const gateway = await startGateway({ config, log, screen });
  let stopping = false;
  const stop = (): Promise<void> => {
    stopping = true;
    screen.stopping();
    return gateway.close();
  };
  stopOnSignal(log, stop, () => gateway.drain());
  try {
    await gateway.ready;
    log.level = config.logLevel;
  } catch (error) {
    await gateway.close();
    // A start that was stopped has not failed; whoever stops it ends the process.
    if (!stopping) throw error;
  }
}

async function serveWorker(flags: Record<string, unknown>): Promise<void> {
  pinArithmeticEnvironment();
  const config = loadWorkerConfig(processEnvironment, flags);
  const log = createLog(config.logLevel);
  const stopping = new AbortController();
  const tell = (note: WorkerNote): void => void process.send?.(note);
  let starting: Promise<WorkerNode> | null = null;
  const stop = async (): Promise<void> => {
    stopping.abort(new Error('stopping'));
    // Half a pack is taken away before we go.
    const node = await starting?.catch(() => null);
    await node?.close();
  };
  // A supervisor tells the whole group; a gateway that drains still needs its workers, and ends them itself.
  stopOnSignal(log, stop, process.send === undefined ? undefined : () => new Promise(() => {}));
  // A gateway that spawned us and is gone, kill -9 included, leaves this channel closed.
  process.on('disconnect', () => {
    setTimeout(() => process.exit(1), closeDelayMs).unref();
    void stop().finally(() => process.exit(0));
  });
  try {
    starting = startNode(config, log, stopping.signal, tell);
    tell({ type: 'ready', origin: (await starting).origin });
  } catch (error) {
    if (stopping.signal.aborted) return;
    tell({ type: 'failed', message: (error as Error).message });
    throw error;
  }
}

async function startNode(
  config: WorkerConfig,
  log: Logger,
  signal: AbortSignal,
  tell: (note: WorkerNote) => void,
): Promise<WorkerNode> {
  const reporter = createPullReporter({ stream: process.stderr, now: () => performance.now() });
  const model = await resolveModel(config.model, {
    store: await openStore(config.home),
    signal,
    onProgress: (progress) => reporter.onProgress(progress),
    log: { info: (text) => log.info(text), warn: (text) => log.warn(text) },
  });
  reporter.close();
  return startWorkerNode({
    ...config,
    ...config.listen,
    kvBytesMax: config.kvBytes,
    model,
    range: config.layers,
    log,
    signal,
    onProgress: (stage, done, total) => tell({ type: 'progress', stage, done, total }),
  });
}

async function pullModel(flags: Record<string, unknown>): Promise<void> {
  const config = loadConfig(processEnvironment, flags);
  const reporter = createPullReporter({ stream: process.stdout, now: () => performance.now() });
  const stopping = new AbortController();
  stopOnSignal(createLog('warn'), async () => stopping.abort(new Error('stopping')));
  const model = await resolveModel(config.model, {
    store: await openStore(config.home),
    signal: stopping.signal,
    onProgress: (progress) => reporter.onProgress(progress),
    log: { info: (text) => reporter.line(text), warn: (text) => reporter.line(text) },
  });
  reporter.line(`${model.name}: ${model.path}`);
  process.exit(0);
}

/** The key goes to the client and is not kept; its line, which gives nothing away, goes into the file. */
function printApiKey(name: string | null): void {
  if (name !== null && !keyNamePattern.test(name)) {
    throw new ConfigError(['--name takes at most 64 letters, digits and . _ - @']);
  }
  const { key, line } = makeApiKey(name);
  process.stdout.write(`${key}\n${line}\n`);
}

/** Logs go to stderr: lines for people on a terminal, JSON elsewhere. */
function createLog(level: string): Logger {
  const stream = process.stderr.isTTY
    ? pretty({
        destination: 2,
        sync: true,
        singleLine: true,
        ignore: 'pid,hostname',
        translateTime: 'HH:MM:ss',
      })
    : pino.destination({ dest: 2, sync: true });
  return pino({ level }, stream);
}

/** `drain`: what SIGTERM, which supervisors send, has done before; the next signal ends that, and the one after it all. */
function stopOnSignal(log: Logger, stop: () => Promise<void>, drain?: () => Promise<void>): void {
  const { close } = closeWithGrace(
    {
      delay: closeDelayMs,
      logger: false,
      // It takes every second signal for a wish to be killed.
      skip: [...stopSignals],
      onTimeout: () => log.error(`stopping took longer than ${closeDelayMs} ms`),
      onSecondError: (err) => log.fatal({ err }, 'unexpected failure while stopping'),
    },
    async ({ err }) => {
      if (err) log.fatal({ err }, 'unexpected failure');
      await stop();
    },
  );
  let state: 'serving' | 'draining' | 'stopping' = 'serving';
  let lastMs = Number.NEGATIVE_INFINITY;
  const beginStop = (): void => {
    if (state === 'stopping') return;
    state = 'stopping';
    close();
  };
  const onSignal = (signal: NodeJS.Signals): void => {
    const isEcho = performance.now() - lastMs <= signalEchoMs;
    if (isEcho) return;
    if (state === 'stopping') process.exit(1);
    lastMs = performance.now();
    if (state === 'draining' || signal !== 'SIGTERM' || drain === undefined) {
      beginStop();
      return;
    }
    state = 'draining';
    log.info('stopping once the answers under way have ended');
    void drain().finally(beginStop);
  };
  for (const signal of stopSignals) process.on(signal, onSignal);
}

/** Runs a command; what a user can mend is told in a sentence. */
async function run(command: () => Promise<void>): Promise<void> {
  try {
    await command();
  } catch (error) {
    // What an embedded worker's gateway was told of is on the screen once, by the gateway.
    if (process.send === undefined || !isMendable(error)) process.stderr.write(`${explain(error)}\n`);
    process.exit(1);
  }
}

function isMendable(error: unknown): boolean {
  return mendable.some((kind) => error instanceof kind);
}

function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (isMendable(error)) return `foretoken: ${error.message}`;
  const { code, syscall, path, port } = error as NodeJS.ErrnoException & { port?: number };
  if (code === 'EADDRINUSE') {
    return `foretoken: port ${port} is taken by another program. Choose another with --port, or stop that program.`;
  }
  if (syscall === 'listen' && (code === 'EACCES' || code === 'EADDRNOTAVAIL')) {
    return `foretoken: cannot listen there (${error.message}). Choose another --host or --port.`;
  }
  if (path !== undefined && syscall !== 'spawn') {
    return `foretoken: ${path} cannot be used (${error.message}). Mend that, or set FORETOKEN_HOME to another folder.`;
  }
  return `foretoken: ${error.stack ?? error.message}`;
}
