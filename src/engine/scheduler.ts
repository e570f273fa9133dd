/**
 * The step loop: settle what came back, plan from a snapshot, start rounds. It runs at its own pace — events only
 * put notes into an inbox and wake it (TigerStyle: never act in reaction to an external event) — so every decision
 * sees one consistent state, and a simulation can drive it under a virtual clock.
 */
import type { LogprobRows } from '../../shards/logprobs.ts';
import type { Draft, Drafter, DraftRequest } from '../drafting/drafter.ts';
import { emptyDraft, withoutFirst } from '../drafting/drafter.ts';
import { GatewayError } from '../errors.ts';
import { Flight } from './flight.ts';
import { createKvAccount } from './kv-account.ts';
import { planRounds } from './plan.ts';
import { createPrefixCache } from './prefix-cache.ts';
import type { Ring, RingGap, RingStream, RingVerdict } from './ring.ts';
import { createRingCosts } from './ring-costs.ts';
import { RoundTally } from './round-tally.ts';
import { backlogTokensMax, type FinishReason, Session, type SessionRequest } from './session.ts';
import { countLeniency, countPrediction, newSessionStats, type SessionStats } from './session-stats.ts';
import { followingSlices, openingSlices, sliceRows } from './slices.ts';

/** An answer may take an hour on the ring; after that its caches are more use to others. */
const sessionTimeMaxMs = 3_600_000;

/** Gaps in a row before a session is given up: each worker of a ring may have lost its rows once. */
const gapsMax = 64;

/**
 * Frames under way at once: four for each of four stages keep every stage busy; more would only be dropped unrun.
 */
const framesMax = 16;

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
  /** Positions that every stage has room for, over all sessions; left out: without end. */
  readonly kvPositions?: () => number;
  /** Owners may start from one another's rows; left out: they may not. */
  readonly sharedPrefixes?: boolean;
  readonly onRound?: (session: Session, record: SessionStats['rounds'][number]) => void;
}

export interface SchedulerLoad {
  readonly running: number;
  readonly waiting: number;
}

export interface Scheduler {
  /** Queues a session. Throws GatewayError queue_full or draining. The sink hears everything else. */
  submit(request: SessionRequest): Session;
  load(): SchedulerLoad;
  /** A client has read what it was behind with. */
  wake(): void;
  /** Refuses new sessions, fails those in flight with `draining`, and ends the loop. */
  close(): Promise<void>;
}

interface DraftInMaking {
  readonly abort: AbortController;
  /** Tokens, final and assumed, that it goes on after. */
  readonly contextLength: number;
}

/** A session with what the loop holds for it. */
interface Entry {
  readonly session: Session;
  readonly stats: SessionStats;
  readonly abort: AbortController;
  readonly unlisten: () => void;
  readonly tally: RoundTally;
  readonly flight: Flight;
  stream: RingStream | null;
  /** The session whose prefill this one waits for, to start from its rows. */
  awaited: Session | null;
  /** Ends the draft that is being made; null if none is. */
  drafting: DraftInMaking | null;
  /** The drafters had nothing to add to what is under way; asked again after the next verdict. */
  exhausted: boolean;
  /** Gaps since the last verdict. */
  gaps: number;
}

/** What events leave for the loop. */
type Note =
  | { readonly type: 'verdict'; readonly entry: Entry; readonly verdict: RingVerdict }
  | { readonly type: 'draft'; readonly entry: Entry; readonly made: DraftInMaking; readonly draft: Draft }
  | {
      readonly type: 'scores';
      readonly entry: Entry;
      readonly position: number;
      readonly logprobs: LogprobRows;
    }
  | { readonly type: 'gap'; readonly entry: Entry; readonly gap: RingGap }
  | { readonly type: 'error'; readonly entry: Entry; readonly error: unknown }
  | { readonly type: 'cancel'; readonly entry: Entry };

export function createScheduler(options: SchedulerOptions): Scheduler {
  const { ring, drafter, limits, now } = options;
  const entries = new Map<string, Entry>();
  let inbox: Note[] = [];
  let scheduled = false;
  let closed = false;
  const costs = createRingCosts();
  const room = createKvAccount(options.kvPositions ?? (() => Number.POSITIVE_INFINITY));
  const prefixes = createPrefixCache({ shared: options.sharedPrefixes ?? false });
  /** Frames that one session may have under way, as of the last plan. */
  let window = 1;

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
    const sessions = [...entries.values()].map((entry) => ({
      id: entry.session.id,
      status: entry.session.status,
      busy:
        entry.drafting !== null ||
        entry.exhausted ||
        (entry.session.status === 'waiting' && entry.stream !== null) ||
        entry.awaited?.status === 'prefill',
      frames: entry.flight.length,
      pipelined: isPipelined(entry.session),
      backlogTokens: entry.session.request.sink.backlogTokens(),
    }));
    const plan = planRounds(sessions, { runningMax: limits.runningMax, framesMax, backlogTokensMax });
    window = plan.window;
    for (const id of plan.open) {
      const entry = entries.get(id)!;
      // Who is held back leaves a place to somebody else.
      if (isHeld(entry)) wake();
      // Nobody overtakes who waits for room: small sessions would keep a large one out for ever.
      else if (!room.take(id, entry.session.rowsMax)) break;
      else open(entry);
    }
    for (const id of plan.draft) startDraft(entries.get(id)!);
  }

  /** Does a session do better to wait until another one's prefill is through, and start from its rows? */
  function isHeld(entry: Entry): boolean {
    const { session } = entry;
    const donor = session.request.scorePrompt ? null : prefixes.awaited(session.owner, session.tokens);
    entry.awaited = donor === null ? null : entries.get(donor)!.session;
    return donor !== null;
  }

  /** A fixed draft length is one round's; frames behind it would make it longer. */
  function isPipelined({ request }: Session): boolean {
    const { rounds = 'auto' } = request.speculation;
    // The first guess of a frame behind others is right only if it equals the bonus token; rejection sampling loses by it.
    const byEquality = request.tail?.verification?.mode !== 'rejection';
    return rounds === 'async' || (rounds === 'auto' && byEquality && costs.pipeliningPays());
  }

  function settle(): void {
    const notes = inbox;
    inbox = [];
    for (const note of notes) {
      const { entry } = note;
      if (entries.get(entry.session.id) !== entry) continue; // ended by an earlier note
      if (note.type === 'verdict') settleVerdict(entry, note.verdict);
      else if (note.type === 'draft') sendDraft(entry, note.made, note.draft);
      else if (note.type === 'scores') settleScores(entry, note.position, note.logprobs);
      else if (note.type === 'gap') resume(entry, note.gap);
      else if (note.type === 'error') end(entry, 'failed', note.error);
      else end(entry, 'cancelled', null);
    }
  }

  function open(entry: Entry): void {
    const { session } = entry;
    const { request } = session;
    const adopt = request.scorePrompt === true ? null : prefixes.find(session.owner, session.tokens);
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
          adopt,
          remainingMs: sessionTimeMaxMs,
        },
        {
          onVerdict: (verdict) => post({ type: 'verdict', entry, verdict }),
          onScores: (position, logprobs) => post({ type: 'scores', entry, position, logprobs }),
          onGap: (gap) => post({ type: 'gap', entry, gap }),
          onError: (error) => post({ type: 'error', entry, error }),
        },
      );
    } catch (error) {
      end(entry, 'failed', error);
      return;
    }
    entry.stats.startedMs = now();
    session.status = 'prefill';
    session.adopt(adopt?.length ?? 0);
    prefixes.begin(session.id, session.owner, session.tokens, adopt?.length ?? 0);
    entry.stats.cachedTokens = adopt?.length ?? 0;
    for (const frame of session.prefillFrames()) entry.stream.forward(frame);
    drafter.open(session, session.request.speculation);
    startAnswer(entry);
  }

  /** Behind the prompt: the first round, or the end where only scores are wanted. */
  function startAnswer(entry: Entry): void {
    const { session } = entry;
    if (session.request.maxTokens > 0) startDraft(entry);
    else if (!session.awaitsScores) end(entry, 'length', null);
  }

  /** Asks for a draft: of a new round, or to go on behind what is under way. */
  function startDraft(entry: Entry): void {
    const { session, flight } = entry;
    const ids = flight.assumedIds();
    const made = { abort: new AbortController(), contextLength: session.tokens.length + ids.length };
    entry.drafting = made;
    const request: DraftRequest = {
      sequence: session,
      draftTokensMax: session.draftTokensMax - ids.length,
      policy: session.request.speculation,
      pipelined: window > 1 && isPipelined(session),
      ...(flight.length === 0 ? {} : { ahead: { ids, reach: flight.reach() } }),
    };
    drafter.draft([request], AbortSignal.any([entry.abort.signal, made.abort.signal])).then(
      ([draft]) => post({ type: 'draft', entry, made, draft: draft ?? emptyDraft }),
      // A drafter only rejects when aborted; a guess that never comes is no reason to lose an answer.
      () => post({ type: 'draft', entry, made, draft: emptyDraft }),
    );
  }

  function sendDraft(entry: Entry, made: DraftInMaking, written: Draft): void {
    const { session, flight, stream, tally } = entry;
    if (entry.drafting !== made) return; // made for an epoch that has ended since
    entry.drafting = null;
    const draft = inTime(session, made, written);
    if (draft === null) {
      startDraft(entry);
      return;
    }
    const behind = flight.length > 0;
    if (behind && draft.ids.length === 0) {
      entry.exhausted = true;
      return;
    }
    const pipelined = window > 1 && isPipelined(session);
    const room = pipelined ? Math.max(1, window - flight.length) : 1;
    const rows = sliceRows(draft.ids.length, ring.stages(), costs.stage());
    const counts = behind
      ? followingSlices(draft.ids.length, rows, room)
      : openingSlices(draft.ids.length, rows, room);
    let from = 0;
    for (const count of counts) {
      const guesses = draft.ids.subarray(from, from + count);
      const probs = draft.probs?.slice(from, from + count) ?? null;
      const first = flight.length === 0;
      const frame = first ? session.roundFrame(guesses, probs) : session.followingFrame(guesses, probs);
      const opening = first && session.status === 'prefill';
      flight.push({ frame, draft, continues: !first, sentMs: now(), opening, alone: first });
      stream!.forward(frame);
      from += count;
    }
    tally.begin(now());
  }

  /**
   * While a draft was made behind frames, the last of them may have come back and brought its bonus token: the draft
   * is good if that is its first guess. Null if it is not.
   */
  function inTime(session: Session, { contextLength }: DraftInMaking, draft: Draft): Draft | null {
    const late = session.tokens.length > contextLength;
    if (!late || draft.ids.length === 0) return draft;
    return draft.ids[0] === session.tokens[contextLength] ? withoutFirst(draft) : null;
  }

  /** A worker no longer holds what a frame stands on: everything from there on is sent again, in a new epoch. */
  function resume(entry: Entry, gap: RingGap): void {
    const { session, stream } = entry;
    if (!session.resumeFrom(gap)) return;
    if (entry.gaps === gapsMax) {
      const message = 'A shard of the model keeps losing this answer. Send the request again.';
      end(entry, 'failed', new GatewayError('shard_lost', message));
      return;
    }
    entry.gaps += 1;
    entry.stats.cachedTokens = Math.min(entry.stats.cachedTokens, gap.length);
    abandon(entry);
    for (const frame of session.prefillFrames()) stream!.forward(frame);
    startDraft(entry);
  }

  /** What is under way and what is being drafted behind it no longer counts. */
  function abandon(entry: Entry): void {
    entry.flight.clear();
    entry.drafting?.abort.abort();
    entry.drafting = null;
    entry.exhausted = false;
  }

  function settleScores(entry: Entry, position: number, logprobs: LogprobRows): void {
    const { session } = entry;
    session.settleScores(position, logprobs);
    if (session.request.maxTokens === 0 && !session.awaitsScores) end(entry, 'length', null);
  }

  function settleVerdict(entry: Entry, { round, verdict, stages }: RingVerdict): void {
    const { session, stats, stream, flight, tally } = entry;
    const settlement = flight.settle(round, verdict);
    if (settlement === null) return; // a late answer to a frame that no longer counts
    const { settled, judged, alive } = settlement;
    countLeniency(stats, verdict);
    entry.gaps = 0;
    if (alive) entry.exhausted = false;
    else abandon(entry);
    if (session.outputLength === 0) {
      stats.firstTokenMs = now();
      prefixes.ready(session.id);
    }
    const before = session.outputLength;
    const reason = session.settle(verdict, alive);
    tally.add(settled, { nowMs: now(), stages, committed: session.outputLength - before });
    costs.observe(settled, { nowMs: now(), stages });
    for (const { draft, verdict: whole } of judged) {
      const record = tally.conclude(draft, whole, now(), stream!.linkBytes());
      stats.rounds.push(record);
      countPrediction(stats, draft, whole);
      drafter.observe(session, { draft, verdict: whole, ...tally.takeRoundTime() });
      options.onRound?.(session, record);
    }
    if (flight.length === 0) tally.rest();
    if (reason !== null) end(entry, reason, null);
  }

  function end(entry: Entry, outcome: FinishReason | 'failed' | 'cancelled', error: unknown): void {
    const { session, stats, stream } = entry;
    entries.delete(session.id);
    room.give(session.id);
    wake();
    entry.unlisten();
    entry.abort.abort();
    stats.finishedMs = now();
    if (session.status !== 'waiting') drafter.close(session);
    const complete = outcome === 'stop' || outcome === 'length';
    session.status = complete ? 'finished' : 'failed';
    stream?.close(complete ? 'keep' : 'free');
    const { sink } = session.request;
    if (complete) {
      prefixes.keep(session.id, session.tokens);
      sink.end(outcome, stats);
    } else {
      prefixes.drop(session.id);
      sink.fail(error ?? new GatewayError('client_gone', 'The client left before the answer was complete.'));
    }
  }

  return {
    submit(request) {
      if (closed) throw new GatewayError('draining', 'The gateway is shutting down.');
      const waiting = [...entries.values()].filter(({ session }) => session.status === 'waiting').length;
      // Those that the next step puts on the ring are not in anybody's way: requests may come faster than steps.
      const free = Math.max(0, limits.runningMax - (entries.size - waiting));
      if (waiting >= limits.queuedMax + free) {
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
        tally: new RoundTally(),
        flight: new Flight(),
        stream: null,
        awaited: null,
        drafting: null,
        exhausted: false,
        gaps: 0,
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

    wake,

    async close() {
      closed = true;
      const error = new GatewayError('draining', 'The gateway is shutting down.');
      for (const entry of [...entries.values()]) end(entry, 'failed', error);
      await drafter.dispose();
    },
  };
}
