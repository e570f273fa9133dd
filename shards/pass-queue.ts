/**
 * Frames that wait for the engine, and which of them is next. Pure but for the time it is handed. Within a session
 * the order is that of arrival, always. Between sessions verify frames go before prefill chunks (someone waits for the
 * next word), until a chunk has waited prefillWaitMaxMs and takes its turn by age. But of all chunks one at most is in a
 * verify frame's way: those of a long prompt all come at once and grow old together, so an old chunk only goes before
 * verify frames that came behind the last one. A newer epoch throws out the older frames of its session unrun: their
 * answer is not wanted any more.
 *
 * A pass may carry short frames of several sessions, one of each, up to passRowsMax rows: company saves the fixed part
 * of a pass and costs the time of its rows. Verify frames and prefill do not share one: a pass costs two to five rows
 * besides its rows, so a verify frame would wait for a whole chunk to save that much.
 */
import type { ForwardMessage } from './forward-message.ts';
import type { WorkerLimits } from './worker-limits.ts';

export interface QueuedPass {
  readonly session: string;
  readonly message: ForwardMessage;
  /** Payload bytes: what the queue holds for it. */
  readonly bytes: number;
  readonly arrivedMs: number;
}

export interface PassQueue {
  readonly bytes: number;
  readonly frames: number;
  /** Sessions with frames in it. */
  readonly sessions: number;
  /** Returns how many older frames of the session were thrown out. */
  push(pass: QueuedPass): number;
  /**
   * Takes the next frame out of the sessions that may run, null if there is none. With `company`, frames that were
   * taken for the pass already, only one that may share it.
   */
  next(
    mayRun: (session: string) => boolean,
    nowMs: number,
    company?: readonly QueuedPass[],
  ): QueuedPass | null;
  /** Must the session's sender be held back? */
  isFull(session: string): boolean;
  /** Throws all frames of a session out; how many. */
  drop(session: string): number;
}

type PassQueueLimits = Pick<
  WorkerLimits,
  'sessionFramesMax' | 'sessionBytesMax' | 'prefillWaitMaxMs' | 'passRowsMax' | 'sharedRowsMax'
>;

export function createPassQueue(limits: PassQueueLimits): PassQueue {
  /** session → its frames in order of arrival, never empty. */
  const waiting = new Map<string, QueuedPass[]>();
  let bytes = 0;
  let frames = 0;
  /** The pass before was a chunk of prefill; and when the last of these was through, so that another pass could begin. */
  let afterChunk = false;
  let chunkEndMs = Number.NEGATIVE_INFINITY;

  function forget(passes: readonly QueuedPass[]): void {
    for (const pass of passes) bytes -= pass.bytes;
    frames -= passes.length;
  }

  function push(pass: QueuedPass): number {
    const before = waiting.get(pass.session) ?? [];
    const kept = before.filter(({ message }) => message.epoch >= pass.message.epoch);
    const overtaken = before.filter(({ message }) => message.epoch < pass.message.epoch);
    forget(overtaken);
    kept.push(pass);
    waiting.set(pass.session, kept);
    bytes += pass.bytes;
    frames++;
    return overtaken.length;
  }

  /** Which frames may share a pass with `company`. */
  function fitting(company: readonly QueuedPass[]): (pass: QueuedPass) => boolean {
    const [first] = company;
    if (first === undefined) return () => true;
    const rowsLeft = limits.passRowsMax - company.reduce((sum, pass) => sum + rowsOf(pass), 0);
    const rowsMax = rowsOf(first) > limits.sharedRowsMax ? 0 : Math.min(rowsLeft, limits.sharedRowsMax);
    const taken = new Set(company.map(({ session }) => session));
    return (pass) =>
      rowsOf(pass) <= rowsMax && isVerify(pass) === isVerify(first) && !taken.has(pass.session);
  }

  /** Does a chunk of prefill have its turn before the verify frame that waits longest? */
  function goesBefore(chunk: QueuedPass, verify: QueuedPass, nowMs: number): boolean {
    const isDue = nowMs - chunk.arrivedMs >= limits.prefillWaitMaxMs && chunk.arrivedMs < verify.arrivedMs;
    return isDue && verify.arrivedMs > chunkEndMs;
  }

  function next(
    mayRun: (session: string) => boolean,
    nowMs: number,
    company: readonly QueuedPass[] = [],
  ): QueuedPass | null {
    if (company.length === 0 && afterChunk) {
      afterChunk = false;
      chunkEndMs = nowMs;
    }
    const fits = fitting(company);
    let verify: QueuedPass | null = null;
    let chunk: QueuedPass | null = null;
    for (const [session, passes] of waiting) {
      const head = passes[0]!;
      const oldest = isVerify(head) ? verify : chunk;
      if (!fits(head) || (oldest !== null && head.arrivedMs >= oldest.arrivedMs) || !mayRun(session))
        continue;
      if (isVerify(head)) verify = head;
      else chunk = head;
    }
    const best = verify === null || (chunk !== null && goesBefore(chunk, verify, nowMs)) ? chunk : verify;
    if (best === null) return null;
    const passes = waiting.get(best.session)!;
    passes.shift();
    if (passes.length === 0) waiting.delete(best.session);
    forget([best]);
    afterChunk = best === chunk;
    return best;
  }

  function isFull(session: string): boolean {
    const passes = waiting.get(session);
    if (passes === undefined) return false;
    if (passes.length >= limits.sessionFramesMax) return true;
    return passes.reduce((sum, pass) => sum + pass.bytes, 0) >= limits.sessionBytesMax;
  }

  function drop(session: string): number {
    const passes = waiting.get(session) ?? [];
    waiting.delete(session);
    forget(passes);
    return passes.length;
  }

  return {
    get bytes() {
      return bytes;
    },
    get frames() {
      return frames;
    },
    get sessions() {
      return waiting.size;
    },
    push,
    next,
    isFull,
    drop,
  };
}

function rowsOf({ message }: QueuedPass): number {
  return message.ids.length;
}

/** Does a frame want a verdict (at least one row with a head)? */
function isVerify({ message }: QueuedPass): boolean {
  return message.headFrom < message.ids.length;
}
