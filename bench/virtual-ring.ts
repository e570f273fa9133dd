/**
 * A ring under virtual time: links of one delay, stages whose pass costs a fixed part and a part per row, and in each
 * stage the worker's own order (pass-queue.ts): within a session as it came, verify frames before chunks of prompts
 * until those have waited. Frames of several sessions share a pass if batching is on. Judged by the worker's own rules
 * against a target that is a pure function of what came before, so what comes out can be checked token for token.
 */
import { createShardSession, type ShardSession } from '../shards/shard-session.ts';
import { verify } from '../shards/verify.ts';
import { workerLimits } from '../shards/worker-limits.ts';
import type { Frame, Ring, RingHandlers, RingOpen } from '../src/engine/ring.ts';
import type { StageCost } from '../src/engine/slices.ts';
import type { VirtualTime } from './virtual-time.ts';

export interface VirtualRingOptions {
  readonly time: VirtualTime;
  readonly stages: readonly StageCost[];
  /** One-way delay of a link, ms. */
  readonly t1Ms: number;
  /** Frames of different sessions share a pass. */
  readonly batching: boolean;
  /** Ids of text are below it; the target's end of an answer is this id. */
  readonly vocab: number;
  /** The target ends a session's answer with its so manieth token. */
  readonly outputTokens: (session: string) => number;
}

export interface VirtualRing extends Ring {
  /** Sessions that were opened and not closed. */
  openSessions(): number;
  /** Time that each stage computed, ms. */
  readonly busyMs: readonly number[];
  /** Rows and frames that are on the way or in a stage. */
  readonly inside: { readonly rows: number; readonly frames: number };
  /** The most of them at once. */
  readonly peaks: { rows: number; frames: number };
}

/** Rows and sessions that one pass takes. */
const passRowsMax = 64;
const passSessionsMax = 16;

interface Passenger {
  readonly link: RingSession;
  readonly frame: Frame;
  readonly timings: { queueUs: number; runUs: number; passRows: number; passSessions: number }[];
  arrivedMs: number;
}

interface RingSession {
  readonly id: string;
  readonly open: RingOpen;
  readonly handlers: RingHandlers;
  readonly rules: ShardSession;
  /** Ids behind the rows that the tail holds. */
  readonly rows: number[];
  closed: boolean;
}

/** The target's token after `a`, `b`: text that wanders and repeats. */
export function virtualTarget(a: number, b: number, vocab: number): number {
  return ((Math.imul(a + 7, 0x9e3779b1) ^ Math.imul(b + 13, 0x85ebca6b)) >>> 5) % vocab;
}

export function createVirtualRing(options: VirtualRingOptions): VirtualRing {
  const { time, stages, t1Ms, batching, vocab } = options;
  const waiting: Passenger[][] = stages.map(() => []);
  const running = stages.map(() => false);
  const busyMs = stages.map(() => 0);
  const peaks = { rows: 0, frames: 0 };
  const inside = { rows: 0, frames: 0 };
  let sessions = 0;

  function count(frame: Frame, sign: 1 | -1): void {
    inside.rows += sign * frame.ids.length;
    inside.frames += sign;
    peaks.rows = Math.max(peaks.rows, inside.rows);
    peaks.frames = Math.max(peaks.frames, inside.frames);
  }

  function arrive(stage: number, passenger: Passenger): void {
    passenger.arrivedMs = time.now();
    const queue = waiting[stage]!;
    // A newer epoch throws out the older frames of its session unrun.
    for (let i = queue.length - 1; i >= 0; i--) {
      const { link, frame } = queue[i]!;
      if (link !== passenger.link || frame.epoch >= passenger.frame.epoch) continue;
      queue.splice(i, 1);
      count(frame, -1);
    }
    queue.push(passenger);
    start(stage);
  }

  function start(stage: number): void {
    if (running[stage]) return;
    const pass = board(waiting[stage]!);
    if (pass.length === 0) return;
    running[stage] = true;
    const rows = pass.reduce((sum, { frame }) => sum + frame.ids.length, 0);
    const { fixedMs, perRowMs } = stages[stage]!;
    const runMs = fixedMs + perRowMs * rows;
    busyMs[stage]! += runMs;
    for (const passenger of pass) {
      const queueUs = 1000 * (time.now() - passenger.arrivedMs);
      passenger.timings.push({ queueUs, runUs: 1000 * runMs, passRows: rows, passSessions: pass.length });
    }
    time.after(runMs, () => {
      running[stage] = false;
      for (const passenger of pass) leave(stage, passenger);
      start(stage);
    });
  }

  /** The next pass: the most urgent frame, and with a verify frame those of other sessions that fit. */
  function board(queue: Passenger[]): Passenger[] {
    const heads: Passenger[] = [];
    const seen = new Set<RingSession>();
    for (let i = queue.length - 1; i >= 0; i--)
      if (queue[i]!.link.closed) count(queue.splice(i, 1)[0]!.frame, -1);
    for (const passenger of queue) {
      if (seen.has(passenger.link)) continue;
      seen.add(passenger.link);
      heads.push(passenger);
    }
    const urgent = heads.filter(isUrgent);
    const first = urgent[0] ?? heads[0];
    if (first === undefined) return [];
    const pass = [first];
    if (batching && isVerify(first)) {
      let rows = first.frame.ids.length;
      for (const next of urgent.slice(1)) {
        if (!isVerify(next) || rows + next.frame.ids.length > passRowsMax || pass.length === passSessionsMax)
          break;
        pass.push(next);
        rows += next.frame.ids.length;
      }
    }
    for (const passenger of pass) queue.splice(queue.indexOf(passenger), 1);
    return pass;
  }

  const isVerify = ({ frame }: Passenger): boolean => frame.headFrom < frame.ids.length;
  const isUrgent = (passenger: Passenger): boolean =>
    isVerify(passenger) || time.now() - passenger.arrivedMs >= workerLimits.prefillWaitMaxMs;

  function leave(stage: number, passenger: Passenger): void {
    if (stage + 1 < stages.length) time.after(t1Ms, () => arrive(stage + 1, passenger));
    else {
      count(passenger.frame, -1);
      judge(passenger);
    }
  }

  function judge({ link, frame, timings }: Passenger): void {
    const { open, rules, rows, handlers } = link;
    if (link.closed) return;
    const decision = rules.decide(frame);
    if (decision.action === 'gap') handlers.onGap({ epoch: frame.epoch, length: decision.length });
    if (decision.action !== 'run') return;
    rows.length = frame.position;
    for (const id of frame.ids) rows.push(id);
    if (frame.headFrom === frame.ids.length) {
      rules.settle(frame, null);
      return;
    }
    const first = frame.position + frame.headFrom;
    const last = open.tail.promptLength + options.outputTokens(link.id) - 1;
    const verdict = verify({
      draft: frame.ids.subarray(frame.headFrom + 1),
      eosIds: open.tail.eosIds,
      chooseAt: (row) =>
        first + row + 1 === last
          ? vocab
          : virtualTarget(rows[first + row - 1] ?? 1, rows[first + row]!, vocab),
    });
    rules.settle(frame, verdict);
    const { epoch, round } = frame;
    time.after(t1Ms, () => {
      if (!link.closed) handlers.onVerdict({ epoch, round, position: first + 1, verdict, stages: timings });
    });
  }

  return {
    stages: () => stages.length,
    openSessions: () => sessions,
    busyMs,
    inside,
    peaks,
    open(open, handlers) {
      sessions += 1;
      const rules = createShardSession({ tail: true, length: 0 });
      const link: RingSession = { id: open.session, open, handlers, rules, rows: [], closed: false };
      return {
        forward(frame) {
          count(frame, 1);
          time.after(t1Ms, () => arrive(0, { link, frame, timings: [], arrivedMs: 0 }));
        },
        linkBytes: () => 0,
        close() {
          if (!link.closed) sessions -= 1;
          link.closed = true;
        },
      };
    },
  };
}
