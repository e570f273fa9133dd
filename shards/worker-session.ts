/**
 * One session on one worker: its streams (rows in, rows out by session-outlet.ts, at the tail verdicts), its rules and
 * its place at the engine. The rules decide what runs (shard-session.ts); this file moves bytes and times. Invariant: whatever way a
 * session ends (CLOSE, END_STREAM, error, deadline, a grace that ran out), its cache is given back exactly once, the
 * next hop is told, and nothing of it stays in the queue.
 *
 * A stream that breaks without an end leaves the session waiting for graceMs: the same session may be opened again over
 * a new stream or another route, and goes on with the rows it holds.
 */
import type { Clock } from './clock.ts';
import type { ForwardPass, PassOutcome, PassResult, ShardEngine, TailOptions } from './engine.ts';
import type { EngineTurns } from './engine-turns.ts';
import { ShardError, toShardError } from './errors.ts';
import { decodeForward, type ForwardMessage } from './forward-message.ts';
import { badFrame, type Frame } from './frame.ts';
import type { FrameChannel } from './frame-channel.ts';
import type { Log } from './log.ts';
import { isTail, type ShardManifest } from './manifest.ts';
import { type CloseMode, decodeClose, encodeError } from './messages.ts';
import { checkForward } from './open-check.ts';
import type { ChainOpen } from './open-message.ts';
import type { PassQueue, QueuedPass } from './pass-queue.ts';
import type { StageTiming } from './payload-blocks.ts';
import type { Peers } from './peers.ts';
import { createSessionOutlet } from './session-outlet.ts';
import { createShardSession, type ShardSession } from './shard-session.ts';
import { encodeScores, encodeVerdict } from './verdict-message.ts';
import { countError, type WorkerCounters } from './worker-counters.ts';
import type { WorkerLimits } from './worker-limits.ts';

/** What all sessions of a worker share. */
export interface SessionHost {
  readonly engine: ShardEngine;
  readonly manifest: ShardManifest;
  readonly turns: EngineTurns;
  readonly queue: PassQueue;
  readonly peers: Peers;
  readonly limits: WorkerLimits;
  readonly counters: WorkerCounters;
  readonly clock: Clock;
  readonly log: Log;
  /** Sessions open now. */
  readonly sessionCount: () => number;
  /** The session has ended and its id is free. */
  readonly forget: (id: string) => void;
}

export interface WorkerSession {
  /** Takes rows from this stream on; an older one is replaced. `open` has been checked. */
  attachForward(channel: FrameChannel, open: ChainOpen): void;
  /** Tail: answers on this stream from now on. */
  attachVerdicts(channel: FrameChannel, options: TailOptions): void;
  /** A frame behind the OPEN of a forward stream. Throws ShardError. */
  onForwardFrame(channel: FrameChannel, frame: Frame): void;
  /** The peer's half of a forward or verdict stream has ended; null for END_STREAM. */
  onFinish(channel: FrameChannel, error: ShardError | null): void;
  readonly mayRun: boolean;
  /** Stages of its chain behind this worker; 0 in a star, whose workers do not know. */
  readonly stagesBehind: number;
  /** Asks the rules about a frame out of the queue; what the engine is to run of it, or null if it was dropped. */
  start(pass: QueuedPass): ForwardPass | null;
  /** What became of a frame that was started, and what its pass took. */
  settle(pass: QueuedPass, outcome: PassOutcome, timing: StageTiming): void;
  /** Ends the session with an ERROR on its streams. */
  fail(error: ShardError): void;
}

export function createWorkerSession(id: string, host: SessionHost): WorkerSession {
  const { engine, manifest, turns, queue, limits, counters, clock, log } = host;
  const tail = isTail(manifest.range, manifest.dims);
  let upstream: FrameChannel | null = null;
  let verdicts: FrameChannel | null = null;
  /** Set once the engine has opened the session. */
  let rules: ShardSession | null = null;
  let tailOptions: TailOptions | null = null;
  let engineAsked = false;
  let tailReady = false;
  let ended = false;
  let stagesBehind = 0;
  let deadlineMs = 0;
  let cancelDeadline = (): void => {};
  let cancelGrace: (() => void) | null = null;
  const outlet = createSessionOutlet({
    peers: host.peers,
    session: id,
    remainingMs: () => Math.max(1, Math.round(deadlineMs - clock.now())),
    onError: onOutletError,
    onRoom: () => turns.wake(),
  });

  function attachForward(channel: FrameChannel, open: ChainOpen): void {
    if (upstream !== null) replace(upstream);
    upstream = channel;
    deadlineMs = clock.now() + open.remainingMs;
    cancelDeadline();
    cancelDeadline = clock.after(open.remainingMs, () =>
      fail(new ShardError('deadline', "the session's time is up")),
    );
    stagesBehind = open.route.length;
    outlet.open(open);
    watchGrace();
    if (engineAsked) return;
    engineAsked = true;
    turns
      .take(() => engine.open(id, open.adopt))
      .then(() => {
        rules = createShardSession({ tail, length: open.adopt?.length ?? 0 });
        openTail();
        turns.wake();
      })
      .catch((error) => fail(toShardError(error)));
  }

  function attachVerdicts(channel: FrameChannel, options: TailOptions): void {
    if (verdicts !== null) replace(verdicts);
    verdicts = channel;
    tailOptions = options;
    tailReady = false;
    watchGrace();
    openTail();
  }

  function openTail(): void {
    const options = tailOptions;
    if (rules === null || options === null || ended) return;
    const isCurrent = (): boolean => options === tailOptions && !ended;
    // A grammar is compiled beside the passes of other sessions.
    (options.grammar === undefined ? Promise.resolve() : engine.prepareTail(options))
      .then(() => turns.take(async () => (isCurrent() ? engine.openTail(id, options) : undefined)))
      .then(() => {
        if (!isCurrent()) return;
        tailReady = true;
        turns.wake();
      })
      .catch((error) => fail(toShardError(error)));
  }

  function replace(channel: FrameChannel): void {
    sendError(channel, new ShardError('bad_request', 'a newer stream of this session has taken over'));
    channel.end();
    counters.framesDropped += queue.drop(id);
  }

  /** The next hop is at fault: the gateway decides, with CLOSE or with a new route, while this worker keeps its rows. */
  function onOutletError(error: ShardError): void {
    if (ended) return;
    if (upstream !== null) sendError(upstream, error);
    if (error.code === 'gap') return;
    counters.framesDropped += queue.drop(id);
    upstream?.resume();
    watchGrace();
  }

  /** Starts the grace when a stream is missing, ends it when none is. */
  function watchGrace(): void {
    const missing = upstream === null || (tail && verdicts === null) || outlet.isLost;
    if (!missing) {
      cancelGrace?.();
      cancelGrace = null;
    } else if (cancelGrace === null && !ended) {
      cancelGrace = clock.after(limits.graceMs, () =>
        fail(new ShardError('unreachable', `a stream of the session was missing for ${limits.graceMs} ms`)),
      );
    }
  }

  function onForwardFrame(channel: FrameChannel, frame: Frame): void {
    if (ended || channel !== upstream) return;
    if (frame.type === 'close') {
      end(decodeClose(frame));
      return;
    }
    if (frame.type !== 'forward') throw badFrame(`${frame.type} does not belong on an open forward stream`);
    const message = decodeForward(frame);
    checkForward(manifest, message);
    if (outlet.isLost) {
      counters.framesDropped++;
      return;
    }
    const bytes = frame.payload.length;
    if (queue.bytes + bytes > limits.queueBytesMax) {
      throw new ShardError(
        'limit',
        `${queue.bytes} bytes of frames wait for this worker already; try another or later`,
      );
    }
    counters.framesDropped += queue.push({ session: id, message, bytes, arrivedMs: clock.now() });
    if (queue.isFull(id)) upstream.pause();
    turns.wake(host.sessionCount() === 1);
  }

  function onFinish(channel: FrameChannel, error: ShardError | null): void {
    if (ended || (channel !== upstream && channel !== verdicts)) {
      channel.end();
      return;
    }
    if (error !== null && error.code !== 'unreachable') {
      fail(error);
      return;
    }
    if (channel === verdicts) {
      // The gateway ends this stream on its own way to CLOSE, which comes down the chain.
      verdicts.end();
      verdicts = null;
      // A gateway that changed its mind before its rows had found their way here: nobody else will tell.
      if (error === null && upstream === null) {
        end('free');
        return;
      }
    } else if (error === null) {
      end('free');
      return;
    } else {
      upstream = null;
      counters.framesDropped += queue.drop(id);
    }
    watchGrace();
  }

  function start({ message }: QueuedPass): ForwardPass | null {
    if (!queue.isFull(id)) upstream?.resume();
    const decision = rules!.decide(message);
    if (decision.action === 'run') return passOf(id, message);
    if (decision.action === 'drop') counters.framesDropped++;
    else tellGap(message, decision.length);
    return null;
  }

  function settle({ message }: QueuedPass, outcome: PassOutcome, timing: StageTiming): void {
    if (ended) return;
    if ('error' in outcome) settleError(message, outcome.error);
    else settleResult(message, outcome.result, timing);
  }

  function settleError(message: ForwardMessage, error: ShardError): void {
    if (error.code !== 'gap') {
      fail(error);
      return;
    }
    const held = Number(error.detail['length'] ?? 0);
    rules!.shorten(message, held);
    tellGap(message, held);
  }

  function settleResult(
    message: ForwardMessage,
    { hidden, verdict, scores }: PassResult,
    timing: StageTiming,
  ): void {
    const { epoch, round, position, headFrom } = message;
    rules!.settle(message, verdict);
    const timings = [...message.timings, timing];
    if (!tail) outlet.send({ ...message, hidden, timings }, upstream);
    else if (verdict !== null) {
      counters.verdicts++;
      verdicts?.send(encodeVerdict({ ...verdict, epoch, round, position: position + headFrom + 1, timings }));
    } else if (scores !== undefined) {
      verdicts?.send(encodeScores({ epoch, round, position: position + 1, logprobs: scores, timings }));
    }
  }

  function tellGap({ epoch, round, position }: ForwardMessage, length: number): void {
    counters.gaps++;
    if (upstream === null) return;
    const message = `rows from ${position} on do not continue the ${length} held: open an epoch from there`;
    sendError(upstream, new ShardError('gap', message, { detail: { length, epoch, round } }));
  }

  function sendError(channel: FrameChannel, error: ShardError): void {
    countError(counters, error.code);
    const { hop = 0, ...detail } = error.detail;
    const epoch = Number(detail['epoch'] ?? 0);
    const round = Number(detail['round'] ?? 0);
    channel.send(
      encodeError({
        epoch,
        round,
        hop: Number(hop),
        error: new ShardError(error.code, error.message, { detail }),
      }),
    );
  }

  function fail(error: ShardError): void {
    if (ended) return;
    // A stop or a lost peer ends sessions by the dozen and is told of once, where it happens.
    const expected = error.code === 'draining' || error.code === 'unreachable';
    log[expected ? 'debug' : 'warn']({ session: id, code: error.code, err: error }, 'session failed');
    if (upstream !== null) sendError(upstream, error);
    if (verdicts !== null) sendError(verdicts, error);
    end('free');
  }

  function end(mode: CloseMode): void {
    ended = true;
    cancelDeadline();
    cancelGrace?.();
    counters.framesDropped += queue.drop(id);
    outlet.close(mode);
    upstream?.end();
    verdicts?.end();
    if (mode === 'keep') counters.sessionsKept++;
    else counters.sessionsFreed++;
    host.forget(id);
    turns
      .take(() => engine.close(id, mode))
      .catch((error) => log.error({ session: id, err: error }, 'close failed'));
  }

  return {
    attachForward,
    attachVerdicts,
    onForwardFrame,
    onFinish,
    get mayRun() {
      const complete = upstream !== null && (!tail || (tailReady && verdicts !== null));
      return complete && rules !== null && !outlet.isBlocked && !outlet.isLost;
    },
    get stagesBehind() {
      return stagesBehind;
    },
    start,
    settle,
    fail,
  };
}

function passOf(
  session: string,
  { position, ids, hidden, headFrom, scores, draftProbs }: ForwardMessage,
): ForwardPass {
  return {
    session,
    position,
    ids,
    hidden,
    headFrom,
    ...(scores !== undefined && { scores }),
    ...(draftProbs !== undefined && { draftProbs }),
  };
}
