/** What every fetcher (http-source.ts, pip-source.ts) gets and gives: one model file, one source, one try. */

/** Times and counts that bound a pull. */
export interface PullLimits {
  /** Name lookup, TCP and TLS of a connection: an unreachable source costs this and no more. */
  readonly connectTimeoutMs: number;
  /** From the request to the answer's head; hubs sign their redirects in well under a second. */
  readonly headersTimeoutMs: number;
  /** Longest silence in the middle of a body. */
  readonly stallTimeoutMs: number;
  /** Tries in a row that brought no byte. */
  readonly fruitlessTriesMax: number;
  /** All tries of one file, also those that brought some. */
  readonly triesMax: number;
  /** Pause before the second fruitless try; doubles with each one. */
  readonly retryDelayMs: number;
  /** A whole run of pip; it has time-outs of its own on every connection. */
  readonly pipTimeoutMs: number;
  /** How long another process may hold the same model's lock while it lives. */
  readonly lockWaitMs: number;
}

export const pullLimits: PullLimits = {
  connectTimeoutMs: 5_000,
  headersTimeoutMs: 15_000,
  stallTimeoutMs: 30_000,
  fruitlessTriesMax: 3,
  triesMax: 50,
  retryDelayMs: 500,
  pipTimeoutMs: 3_600_000,
  lockWaitMs: 3_600_000,
};

/** Largest file that we take from anywhere, bytes: a 70B model at 8 bit is 75 GB. */
const modelBytesMax = 128 * 2 ** 30;

/** Where messages go; a pino logger fits. */
export interface PullLog {
  info(message: string): void;
  warn(message: string): void;
}

export interface FetchJob {
  /** Where the file is to arrive; a resumable part may lie there. */
  readonly partPath: string;
  /** A folder of this pull alone, removed after it. */
  readonly scratch: string;
  /** The pinned sum, or null. */
  readonly sha256: string | null;
  /** Exact size with a pinned sum, else a guess for display. */
  readonly bytes: number;
  readonly limits: PullLimits;
  readonly signal: AbortSignal;
  readonly log: PullLog;
  report(phase: 'download' | 'unpack', bytes: number, bytesTotal: number | null): void;
}

export interface FetchedFile {
  readonly sha256: string;
  readonly bytes: number;
  /** The sum that the source itself states for the file, or null. */
  readonly statedSha256: string | null;
}

/** The most bytes that the job's file may have. */
export function jobBytesMax(job: FetchJob): number {
  return job.sha256 === null ? modelBytesMax : job.bytes;
}
