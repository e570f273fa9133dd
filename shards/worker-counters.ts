/**
 * What a worker counts, and its Prometheus text. Numbers only ever rise, but for the gauges read at the time of asking.
 */
import type { ForwardReport } from './engine.ts';
import type { ShardErrorCode } from './errors.ts';

export interface WorkerCounters {
  /** Sessions opened, and ended by each way of ending. */
  sessionsOpened: number;
  sessionsKept: number;
  sessionsFreed: number;
  passes: number;
  /** Frames in those passes, and how many passes there were of each number of frames. */
  frames: number;
  readonly passesByFrames: Map<number, number>;
  rows: number;
  verdicts: number;
  /** Frames not run: overtaken in the queue, stale, of a dead epoch. */
  framesDropped: number;
  gaps: number;
  /** Time inside the engine. */
  runUs: number;
  /** Bytes of frames on streams that have ended, both directions. */
  bytesReceived: number;
  bytesSent: number;
  readonly errors: Map<ShardErrorCode, number>;
}

export interface WorkerGauges {
  readonly sessions: number;
  readonly queueFrames: number;
  readonly queueBytes: number;
  readonly kvBytes: number;
  readonly kvBytesMax: number;
  readonly passAgeMs: number | null;
}

export function createWorkerCounters(): WorkerCounters {
  return {
    sessionsOpened: 0,
    sessionsKept: 0,
    sessionsFreed: 0,
    passes: 0,
    frames: 0,
    passesByFrames: new Map(),
    rows: 0,
    verdicts: 0,
    framesDropped: 0,
    gaps: 0,
    runUs: 0,
    bytesReceived: 0,
    bytesSent: 0,
    errors: new Map(),
  };
}

export function countError(counters: WorkerCounters, code: ShardErrorCode): void {
  counters.errors.set(code, (counters.errors.get(code) ?? 0) + 1);
}

export function countPass(
  counters: WorkerCounters,
  { rows, sessions, runUs }: Pick<ForwardReport, 'rows' | 'sessions' | 'runUs'>,
): void {
  counters.passes += 1;
  counters.frames += sessions;
  counters.passesByFrames.set(sessions, (counters.passesByFrames.get(sessions) ?? 0) + 1);
  counters.rows += rows;
  counters.runUs += runUs;
}

/** Upper bounds of the histogram of frames per pass. */
const frameBounds = [1, 2, 3, 4, 6, 8];

export function formatWorkerMetrics(counters: WorkerCounters, gauges: WorkerGauges): string {
  const lines: string[] = [];
  const metric = (
    name: string,
    type: 'counter' | 'gauge' | 'histogram',
    help: string,
    samples: [suffix: string, value: number][],
  ): void => {
    lines.push(`# HELP foretoken_worker_${name} ${help}`, `# TYPE foretoken_worker_${name} ${type}`);
    for (const [suffix, value] of samples) lines.push(`foretoken_worker_${name}${suffix} ${value}`);
  };
  metric('sessions', 'gauge', 'Sessions open now.', [['', gauges.sessions]]);
  metric('sessions_opened_total', 'counter', 'Sessions opened.', [['', counters.sessionsOpened]]);
  metric('sessions_ended_total', 'counter', 'Sessions ended, by what became of the cache.', [
    ['{cache="kept"}', counters.sessionsKept],
    ['{cache="freed"}', counters.sessionsFreed],
  ]);
  metric('passes_total', 'counter', 'Passes through the engine.', [['', counters.passes]]);
  metric('rows_total', 'counter', 'Rows of those passes.', [['', counters.rows]]);
  const passesUpTo = (bound: number): number =>
    [...counters.passesByFrames].reduce((sum, [frames, count]) => sum + (frames <= bound ? count : 0), 0);
  metric('pass_frames', 'histogram', 'Frames, each of another session, that shared a pass.', [
    ...frameBounds.map((bound): [string, number] => [`_bucket{le="${bound}"}`, passesUpTo(bound)]),
    ['_bucket{le="+Inf"}', counters.passes],
    ['_sum', counters.frames],
    ['_count', counters.passes],
  ]);
  metric('verdicts_total', 'counter', 'Verdicts sent by this tail.', [['', counters.verdicts]]);
  metric('frames_dropped_total', 'counter', 'Frames not run: overtaken, stale or of a dead epoch.', [
    ['', counters.framesDropped],
  ]);
  metric('gaps_total', 'counter', 'Frames that began beyond the rows held.', [['', counters.gaps]]);
  metric('run_seconds_total', 'counter', 'Time inside the engine.', [['', counters.runUs / 1e6]]);
  metric('bytes_total', 'counter', 'Bytes of frames on ended streams.', [
    ['{direction="received"}', counters.bytesReceived],
    ['{direction="sent"}', counters.bytesSent],
  ]);
  metric(
    'errors_total',
    'counter',
    'Errors sent, by code.',
    [...counters.errors].map(([code, count]) => [`{code="${code}"}`, count]),
  );
  metric('queue_frames', 'gauge', 'Frames that wait for the engine.', [['', gauges.queueFrames]]);
  metric('queue_bytes', 'gauge', 'Bytes of those frames.', [['', gauges.queueBytes]]);
  metric('kv_bytes', 'gauge', 'Bytes of key/value caches.', [['', gauges.kvBytes]]);
  metric('kv_bytes_max', 'gauge', 'Budget of key/value caches.', [['', gauges.kvBytesMax]]);
  metric('pass_age_seconds', 'gauge', 'Age of the pass in flight, 0 when idle.', [
    ['', (gauges.passAgeMs ?? 0) / 1000],
  ]);
  return `${lines.join('\n')}\n`;
}
