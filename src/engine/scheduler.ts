/**
 * The step loop: settle what came back, plan from a snapshot, start rounds. It runs at its own pace — events only
 * put notes into an inbox and wake it (TigerStyle: never act in reaction to an external event) — so every decision
 * sees one consistent state, and a simulation can drive it under a virtual clock.
 */
import type { LogprobRows } from '../../shards/logprobs.ts';
import type { Draft, Drafter } from '../drafting/drafter.ts';
import { emptyDraft } from '../drafting/drafter.ts';
import { GatewayError } from '../errors.ts';
import { planRounds } from './plan.ts';
import type { Ring, RingStream, RingVerdict } from './ring.ts';
import { type FinishReason, Session, type SessionRequest } from './session.ts';
import { countLeniency, countPrediction, newSessionStats, type SessionStats } from './session-stats.ts';

/** An answer may take an hour on the ring; after that its caches are more use to others. */
const sessionTimeMaxMs = 3_600_000;
/** Unread tokens at which rounds pause: a page of text, far above what a reading client ever has open. */
const backlogTokensMax = 1024;

/** Gaps in a row before a session is given up: each worker of a ring may have lost its rows once. */
const gapsMax = 64;

export interface SchedulerLimits {
  /** Sessions on the ring at once. */
  readonly runningMax: number;
  /** Sessions that wait for a place; one more is refused with queue_full. */
  readonly queuedMax: number;
}

export interface SchedulerOptions {
  readonly ring: Ring;
  readonly drafter: Drafter;
  readonly limits: SchedulerLimits;
  /** Monotonic, ms. */
  readonly now: () => number;
  readonly newSessionId: () => string;
  readonly onRound?: (session: Session, record: SessionStats['rounds'][number]) => void;
  readonly onEnd?: (
    session: Session,
    outcome: FinishReason | 'failed' | 'cancelled',
    stats: SessionStats,
  ) => void;
}

export interface SchedulerLoad {
  readonly running: number;
  readonly waiting: number;
}

export interface Scheduler {
  /** Queues a session. Throws GatewayError queue_full or draining. The sink hears everything else. */
  submit(request: SessionRequest): Session;
  load(): SchedulerLoad;
  /** Refuses new sessions, fails those in flight with `draining`, and ends the loop. */
  close(): Promise<void>;
}

/** A round between the departure of its frame and its verdict. */
interface RoundInFlight {
  readonly draft: Draft;
  readonly round: number;
  readonly sentMs: number;
  readonly opening: boolean;
}

/** A session with what the loop holds for it. */
interface Entry {
  readonly session: Session;
  readonly stats: SessionStats;
  readonly abort: AbortController;
  readonly unlisten: () => void;
  stream: RingStream | null;
  drafting: boolean;
  round: RoundInFlight | null;
  /** Gaps since the last verdict. */
  gaps: number;
  /** What the stream had counted at the last verdict. */
  linkBytes: number;
}

/** What events leave for the loop. */
type Note =
  | { readonly type: 'verdict'; readonly entry: Entry; readonly verdict: RingVerdict }
  | { readonly type: 'draft'; readonly entry: Entry; readonly draft: Draft }
  | {
      readonly type: 'scores';
      readonly entry: Entry;
      readonly position: number;
      readonly logprobs: LogprobRows;
    }
  | { readonly type: 'gap'; readonly entry: Entry; readonly length: number }
  | { readonly type: 'error'; readonly entry: Entry; readonly error: unknown }
  | { readonly type: 'cancel'; readonly entry: Entry };

export function createScheduler(options: SchedulerOptions): Scheduler {
  const { ring, drafter, limits, now } = options;
  const entries = new Map<string, Entry>();
  let inbox: Note[] = [];
  let scheduled = false;
  let closed = false;

  function wake(): void {
    if (scheduled) return;
    scheduled = true;
    // A macrotask, so that all frames of one socket read are settled by one step.
    setImmediate(() => {
      scheduled = false;
      step();
    });
  }

  function post(note: Note): void {
    inbox.push(note);
    wake();
  }

  function step(): void {
    settle();
    const sessions = [...entries.values()].map(({ session, stream, drafting, round }) => ({
      id: session.id,
      status: session.status,
      busy: drafting || round !== null || (session.status === 'waiting' && stream !== null),
      backlogTokens: session.request.sink.backlogTokens(),
    }));
    const plan = planRounds(sessions, { runningMax: limits.runningMax, backlogTokensMax });
    for (const id of plan.open) open(entries.get(id)!);
    startDrafts(plan.start.map((id) => entries.get(id)!));
  }

  function settle(): void {
    const notes = inbox;
    inbox = [];
    for (const note of notes) {
      const { entry } = note;
      if (entries.get(entry.session.id) !== entry) continue; // ended by an earlier note
      if (note.type === 'verdict') settleVerdict(entry, note.verdict);
      else if (note.type === 'draft') sendRound(entry, note.draft);
      else if (note.type === 'scores') settleScores(entry, note.position, note.logprobs);
      else if (note.type === 'gap') resume(entry, note.length);
      else if (note.type === 'error') end(entry, 'failed', note.error);
      else end(entry, 'cancelled', null);
    }
  }

  function open(entry: Entry): void {
    const { session } = entry;
    const { request } = session;
    try {
      entry.stream = ring.open(
        {
          session: session.id,
          tail: {
            sampling: request.sampling,
            promptLength: session.promptLength,
            eosIds: request.eosIds,
            minTokens: request.minTokens,
            ignoreEos: request.ignoreEos,
            ...request.tail,
          },
          remainingMs: sessionTimeMaxMs,
        },
        {
          onVerdict: (verdict) => post({ type: 'verdict', entry, verdict }),
          onScores: (position, logprobs) => post({ type: 'scores', entry, position, logprobs }),
          onGap: (length) => post({ type: 'gap', entry, length }),
          onError: (error) => post({ type: 'error', entry, error }),
        },
      );
    } catch (error) {
      end(entry, 'failed', error);
      return;
    }
    entry.stats.startedMs = now();
    session.status = 'prefill';
    for (const frame of session.prefillFrames()) entry.stream.forward(frame);
    drafter.open(session, session.request.speculation);
    if (session.request.maxTokens > 0) startDrafts([entry]);
    else if (!session.awaitsScores) end(entry, 'length', null);
  }

  /** One batched call for all sessions whose round starts now; each draft leaves as soon as it is there. */
  function startDrafts(starting: readonly Entry[]): void {
    for (const entry of starting) {
      entry.drafting = true;
      const { session } = entry;
      const request = {
        sequence: session,
        draftTokensMax: session.draftTokensMax,
        policy: session.request.speculation,
      };
      drafter.draft([request], entry.abort.signal).then(
        ([draft]) => post({ type: 'draft', entry, draft: draft ?? emptyDraft }),
        // A drafter only rejects when aborted; a guess that never comes is no reason to lose an answer.
        () => post({ type: 'draft', entry, draft: emptyDraft }),
      );
    }
  }

  function sendRound(entry: Entry, draft: Draft): void {
    const { session } = entry;
    entry.drafting = false;
    const frame = session.roundFrame(draft);
    entry.round = { draft, round: frame.round, sentMs: now(), opening: session.status === 'prefill' };
    entry.stream!.forward(frame);
  }

  /** Sends again what a worker no longer holds, with the draft that was under way. */
  function resume(entry: Entry, length: number): void {
    const { session, stream, round } = entry;
    if (round === null) return; // nothing waits for an answer; the next frame is at most one gap away
    if (entry.gaps === gapsMax) {
      end(
        entry,
        'failed',
        new GatewayError(
          'shard_lost',
          'A shard of the model keeps losing this answer. Send the request again.',
        ),
      );
      return;
    }
    entry.gaps += 1;
    session.resumeFrom(length);
    for (const frame of session.prefillFrames()) stream!.forward(frame);
    const frame = session.roundFrame(round.draft);
    entry.round = { ...round, round: frame.round };
    stream!.forward(frame);
  }

  function settleScores(entry: Entry, position: number, logprobs: LogprobRows): void {
    const { session } = entry;
    session.settleScores(position, logprobs);
    if (session.request.maxTokens === 0 && !session.awaitsScores) end(entry, 'length', null);
  }

  function settleVerdict(entry: Entry, { round, verdict, stages }: RingVerdict): void {
    const { session, stats, stream } = entry;
    const flight = entry.round;
    if (flight === null || round !== flight.round) return; // a late answer to a frame that no longer counts
    entry.round = null;
    entry.gaps = 0;
    const { draft, sentMs, opening } = flight;
    const roundMs = now() - sentMs;
    if (session.outputLength === 0) stats.firstTokenMs = now();
    const bytesBefore = entry.linkBytes;
    entry.linkBytes = stream!.linkBytes();
    const before = session.outputLength;
    countLeniency(stats, verdict);
    const reason = session.settle(verdict, draft);
    const record = {
      rows: draft.ids.length + 1,
      drafted: draft.ids.length,
      accepted: verdict.accepted,
      committed: session.outputLength - before,
      source: draft.source,
      draftMs: draft.draftMs,
      roundMs,
      computeMs: stages.reduce((sum, { runUs }) => sum + runUs, 0) / 1000,
      queueMs: stages.reduce((sum, { queueUs }) => sum + queueUs, 0) / 1000,
      linkBytes: entry.linkBytes - bytesBefore,
      opening,
    };
    stats.rounds.push(record);
    countPrediction(stats, draft, verdict);
    drafter.observe(session, { draft, verdict, roundMs: opening ? null : roundMs });
    options.onRound?.(session, record);
    if (reason !== null) end(entry, reason, null);
  }

  function end(entry: Entry, outcome: FinishReason | 'failed' | 'cancelled', error: unknown): void {
    const { session, stats, stream } = entry;
    entries.delete(session.id);
    entry.unlisten();
    entry.abort.abort();
    stats.finishedMs = now();
    if (session.status !== 'waiting') drafter.close(session);
    const complete = outcome === 'stop' || outcome === 'length';
    session.status = complete ? 'finished' : 'failed';
    stream?.close(complete ? 'keep' : 'free');
    if (complete) session.request.sink.end(outcome, stats);
    else
      session.request.sink.fail(
        error ?? new GatewayError('client_gone', 'The client left before the answer was complete.'),
      );
    options.onEnd?.(session, outcome, stats);
  }

  return {
    submit(request) {
      if (closed) throw new GatewayError('draining', 'The gateway is shutting down.');
      const waiting = [...entries.values()].filter(({ session }) => session.status === 'waiting').length;
      if (waiting >= limits.queuedMax) {
        throw new GatewayError(
          'queue_full',
          `${waiting} requests are waiting already; try again in a moment.`,
        );
      }
      const session = new Session(options.newSessionId(), request);
      const onAbort = (): void => post({ type: 'cancel', entry });
      request.signal.addEventListener('abort', onAbort, { once: true });
      const entry: Entry = {
        session,
        stats: newSessionStats(now()),
        abort: new AbortController(),
        unlisten: () => request.signal.removeEventListener('abort', onAbort),
        stream: null,
        drafting: false,
        round: null,
        gaps: 0,
        linkBytes: 0,
      };
      entries.set(session.id, entry);
      if (request.signal.aborted) onAbort();
      wake();
      return session;
    },

    load() {
      const waiting = [...entries.values()].filter(({ session }) => session.status === 'waiting').length;
      return { running: entries.size - waiting, waiting };
    },

    async close() {
      closed = true;
      const error = new GatewayError('draining', 'The gateway is shutting down.');
      for (const entry of [...entries.values()]) end(entry, 'failed', error);
      await drafter.dispose();
    },
  };
}
