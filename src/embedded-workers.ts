/**
 * Worker processes that belong to this gateway: spawned on loopback, restarted when they die, and gone when the
 * gateway goes (their IPC channel closes even on kill -9, and they exit by it).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Clock } from '../shards/clock.ts';
import type { Log } from '../shards/log.ts';
import { formatRange, type LayerRange, type Quantisation } from '../shards/manifest.ts';
import { childEnvironment } from './config.ts';
import type { BatchGraphs } from './shard-graphs.ts';
import type { WorkerNote } from './worker-note.ts';

/** A worker that is told to stop gets this long, then SIGKILL: Ctrl-C ends everything within 3 s. */
const stopGraceMs = 2_000;
/** Pause before a restart, doubled up to the maximum for workers that die young. */
const restartBaseMs = 250;
const restartMaxMs = 10_000;
/** A worker that lived this long starts again with the shortest pause. */
const soundLifeMs = 60_000;
/** Deaths in a row after which a worker is given up: it will not mend itself. */
const restartsMax = 8;

const entryPath = new URL('./cli.ts', import.meta.url).pathname;

export interface WorkerProcessOptions {
  /** Catalog name or path; the file must be there already. */
  readonly model: string;
  readonly home: string;
  readonly range: LayerRange;
  readonly quantisation: Quantisation;
  readonly clusterKey: string;
  readonly kvBytesMax: number;
  /** Sessions that may share a pass, and in which form; left out: the defaults of a worker. */
  readonly batchSessions?: number;
  readonly batchGraphs?: BatchGraphs;
  /** Of each worker; left out or 0: the cores of the machine. */
  readonly threads?: number;
  readonly logLevel: string;
  /** 0 takes a free port. */
  readonly port: number;
  readonly onNote: (note: WorkerNote) => void;
  /** Further variables of the process. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** A worker process that ended before it served, in its own words. */
export class WorkerStartError extends Error {
  constructor(range: LayerRange, reason: string) {
    super(`the worker of layers ${formatRange(range)} did not start: ${reason}`);
    this.name = 'WorkerStartError';
  }
}

export interface WorkerProcess {
  readonly origin: string;
  readonly port: number;
  readonly pid: number;
  /** Resolves with the exit code or signal. */
  readonly exited: Promise<string>;
  stop(): Promise<void>;
}

/** Starts one worker process and waits until it serves. Throws WorkerStartError when it cannot. */
export async function spawnWorker(
  options: WorkerProcessOptions,
  signal?: AbortSignal,
): Promise<WorkerProcess> {
  const { range, batchSessions, batchGraphs, threads } = options;
  const args = [
    entryPath,
    'worker',
    ...['--model', options.model, '--layers', `${range.start}:${range.end}`],
    ...['--listen', `127.0.0.1:${options.port}`, '--quant', options.quantisation],
    ...['--kv-bytes', String(options.kvBytesMax), '--home', options.home, '--log-level', options.logLevel],
    ...(batchSessions === undefined ? [] : ['--batch-sessions', String(batchSessions)]),
    ...(batchGraphs === undefined ? [] : ['--batch-graphs', batchGraphs]),
    ...(threads === undefined ? [] : ['--threads', String(threads)]),
  ];
  const child = spawn(process.execPath, args, {
    // The key goes by environment: arguments can be read by every user of the machine.
    env: childEnvironment({ ...options.environment, FORETOKEN_CLUSTER_KEY: options.clusterKey }),
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    // Its own process group: Ctrl-C reaches the gateway alone, which then stops its workers in order.
    detached: true,
  });
  const exited = once(child, 'exit').then(([code, killedBy]) => String(killedBy ?? code));
  const stop = (): Promise<void> => stopChild(child, exited);
  const ready = new Promise<string>((resolve, reject) => {
    let reason = '';
    child.on('message', (note: WorkerNote) => {
      options.onNote(note);
      if (note.type === 'ready') resolve(note.origin);
      if (note.type === 'failed') reason = note.message;
    });
    child.once('error', reject);
    void exited.then((how) =>
      reject(new WorkerStartError(range, reason || `its process ended (${how}); the log may tell why`)),
    );
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
  try {
    const origin = await ready;
    return { origin, port: Number(new URL(origin).port), pid: child.pid!, exited, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function stopChild(child: ChildProcess, exited: Promise<string>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  if (child.connected) child.disconnect();
  const kill = setTimeout(() => child.kill('SIGKILL'), stopGraceMs);
  await exited;
  clearTimeout(kill);
}

export interface EmbeddedWorkersOptions extends Omit<WorkerProcessOptions, 'range' | 'port' | 'onNote'> {
  readonly ranges: readonly LayerRange[];
  readonly clock: Clock;
  readonly log: Log;
  readonly onNote: (index: number, note: WorkerNote) => void;
  readonly signal: AbortSignal;
}

export interface EmbeddedWorkers {
  /** One per range, in order; they stay the same over restarts. */
  readonly origins: readonly string[];
  stop(): Promise<void>;
}

/** Starts a worker per range and keeps each alive. Throws if one cannot start at all. */
export async function startEmbeddedWorkers(options: EmbeddedWorkersOptions): Promise<EmbeddedWorkers> {
  const { ranges, log, clock } = options;
  const workers = new Map<number, WorkerProcess>();
  const stopping = new AbortController();

  const spawnAt = (index: number, port: number): Promise<WorkerProcess> =>
    spawnWorker(
      { ...options, range: ranges[index]!, port, onNote: (note) => options.onNote(index, note) },
      AbortSignal.any([options.signal, stopping.signal]),
    );

  async function keepAlive(index: number, first: WorkerProcess): Promise<void> {
    const { port } = first;
    let worker = first;
    let startedMs = clock.now();
    let deaths = 0;
    for (;;) {
      const how = await worker.exited;
      if (stopping.signal.aborted) return;
      deaths = clock.now() - startedMs > soundLifeMs ? 1 : deaths + 1;
      if (deaths > restartsMax) {
        log.error(
          { worker: first.origin },
          `worker died ${deaths} times in a row and is given up; restart the gateway`,
        );
        return;
      }
      const pauseMs = Math.min(restartBaseMs * 2 ** (deaths - 1), restartMaxMs);
      log.warn(
        { worker: first.origin, how, pauseMs: Math.round(pauseMs) },
        'worker process ended; starting it again',
      );
      await new Promise<void>((resolve) => clock.after(pauseMs, resolve));
      if (stopping.signal.aborted) return;
      startedMs = clock.now();
      try {
        worker = await spawnAt(index, port);
        workers.set(index, worker);
      } catch (error) {
        if (stopping.signal.aborted) return;
        log.warn({ worker: first.origin }, `worker did not start: ${(error as Error).message}`);
      }
    }
  }

  const stop = async (): Promise<void> => {
    stopping.abort(new Error('stopping'));
    await Promise.all([...workers.values()].map((worker) => worker.stop()));
  };
  // One after the other would pack one after the other; together they share the disk cache of the model file.
  const started = await Promise.allSettled(ranges.map((_, index) => spawnAt(index, 0)));
  for (const [index, result] of started.entries())
    if (result.status === 'fulfilled') workers.set(index, result.value);
  const failure = started.find((result) => result.status === 'rejected');
  if (failure !== undefined) {
    await stop();
    throw failure.reason;
  }
  for (const [index, worker] of workers) void keepAlive(index, worker);
  return { origins: [...workers.values()].map(({ origin }) => origin), stop };
}
