/**
 * A ring under virtual time: links of one delay, stages whose pass costs a fixed part and a part per row, on cores of
 * their own or on shared ones. Which frames make a pass is decided by the worker's own queue and share
 * (shards/pass-queue.ts, pass-share.ts), what a frame means by its own rules, against a target that is a pure function of
 * what came before; so what comes out can be checked token for token.
 */
import { createPassQueue, type QueuedPass } from '../shards/pass-queue.ts';
import { createPassShare } from '../shards/pass-share.ts';
import type { StageTiming } from '../shards/payload-blocks.ts';
import { createShardSession, type ShardSession } from '../shards/shard-session.ts';
import { verify } from '../shards/verify.ts';
import { workerLimits } from '../shards/worker-limits.ts';
import type { Frame, Ring, RingHandlers, RingOpen } from '../src/engine/ring.ts';
import type { StageCost } from '../src/engine/slices.ts';
import type { VirtualCores } from './virtual-cores.ts';
import type { VirtualTime } from './virtual-time.ts';

export interface VirtualRingOptions {
  readonly time: VirtualTime;
  /** Where the stages compute, and frames are taken in. */
  readonly cores: VirtualCores;
  readonly stages: readonly StageCost[];
  /** One-way delay of a link, ms. */
  readonly t1Ms: number;
  /** Work of taking a frame in, at each hop, ms. */
  readonly hopMs: number;
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
  /** Time that each stage had a pass, ms. */
  readonly busyMs: readonly number[];
  /** Frames that are on the way or in a stage, now and at most. */
  readonly frames: { now: number; most: number };
}

interface RingSession {
  readonly name: string;
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
  const { time, cores, t1Ms, hopMs, batching, vocab } = options;
  const stages = options.stages.map((cost) => ({
    cost,
    queue: createPassQueue(workerLimits),
    share: createPassShare(time.now(), cores.count),
    running: false,
  }));
  const busyMs = stages.map(() => 0);
  const frames = { now: 0, most: 0 };
  const sessions = new Map<string, RingSession>();
  const slots = batching ? workerLimits.passSessionsMax : 1;

  function cross(arrived: () => void): void {
    time.after(t1Ms, () => cores.run(hopMs, arrived));
  }

  function arrive(stage: number, session: RingSession, frame: Frame, timings: readonly StageTiming[]): void {
    if (session.closed) {
      frames.now -= 1;
      return;
    }
    const message = { ...frame, hidden: null, timings };
    frames.now -= stages[stage]!.queue.push({
      ...{ session: session.name, message, bytes: 0, arrivedMs: time.now() },
    });
    start(stage);
  }

  function start(number: number): void {
    const stage = stages[number]!;
    if (stage.running) return;
    const startMs = time.now();
    const pass = board(number);
    if (pass.length === 0) return;
    stage.running = true;
    const rows = pass.reduce((sum, { message }) => sum + message.ids.length, 0);
    cores.run(stage.cost.fixedMs + stage.cost.perRowMs * rows, () => {
      stage.running = false;
      const runMs = time.now() - startMs;
      busyMs[number]! += runMs;
      stage.share.observe(startMs, time.now());
      for (const { session, message, arrivedMs } of pass) {
        const timing = {
          ...{ queueUs: 1000 * (startMs - arrivedMs), runUs: 1000 * runMs },
          ...{ passRows: rows, passSessions: pass.length },
        };
        leave(number, session, message, [...message.timings, timing]);
      }
      start(number);
    });
  }

  function board(number: number): QueuedPass[] {
    const { queue, share } = stages[number]!;
    const waiting = queue.sessions;
    const pass: QueuedPass[] = [];
    const shared = share.sessionsMax({ waiting, open: sessions.size, stages: stages.length });
    while (pass.length < Math.min(slots, shared)) {
      const next = queue.next(() => true, time.now(), pass);
      if (next === null) break;
      pass.push(next);
    }
    return pass;
  }

  function leave(number: number, name: string, frame: Frame, timings: readonly StageTiming[]): void {
    const session = sessions.get(name);
    if (session === undefined || number + 1 === stages.length) frames.now -= 1;
    if (session === undefined) return;
    if (number + 1 < stages.length) cross(() => arrive(number + 1, session, frame, timings));
    else judge(session, frame, timings);
  }

  function judge(session: RingSession, frame: Frame, timings: readonly StageTiming[]): void {
    const { name, open, rules, rows, handlers } = session;
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
    const last = open.tail.promptLength + options.outputTokens(name) - 1;
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
    cross(() => {
      if (!session.closed)
        handlers.onVerdict({ epoch, round, position: first + 1, verdict, stages: timings });
    });
  }

  return {
    stages: () => stages.length,
    openSessions: () => sessions.size,
    busyMs,
    frames,
    open(open, handlers) {
      const rules = createShardSession({ tail: true, length: 0 });
      const session: RingSession = { name: open.session, open, handlers, rules, rows: [], closed: false };
      sessions.set(session.name, session);
      return {
        forward(frame) {
          frames.now += 1;
          frames.most = Math.max(frames.most, frames.now);
          cross(() => arrive(0, session, frame, []));
        },
        linkBytes: () => 0,
        close() {
          if (session.closed) return;
          session.closed = true;
          sessions.delete(session.name);
          for (const { queue } of stages) frames.now -= queue.drop(session.name);
        },
      };
    },
  };
}
