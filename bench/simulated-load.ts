/**
 * A trace of requests through the real scheduler and the real draft planner over a simulated ring, under virtual time:
 * what the policies come to where the machine at hand has too few cores to show it. Costs of stages, links and drafts
 * are given (fitted ones, as a rule). Each answer is checked token for token while it comes in.
 */
import { greedy } from '../shards/sampler.ts';
import { createDraftPlanner } from '../src/drafting/chooser.ts';
import {
  type Draft,
  type Drafter,
  type DraftRequest,
  emptyDraft,
  newDraftCounters,
} from '../src/drafting/drafter.ts';
import { createNoneDrafter } from '../src/drafting/none-drafter.ts';
import type { SchedulingPolicy } from '../src/engine/policy.ts';
import { createScheduler, type SchedulerLimits } from '../src/engine/scheduler.ts';
import type { SessionStats } from '../src/engine/session-stats.ts';
import type { StageCost } from '../src/engine/slices.ts';
import { GatewayError } from '../src/errors.ts';
import { createVirtualRing, virtualTarget } from './virtual-ring.ts';
import { VirtualTime } from './virtual-time.ts';

export interface TraceRequest {
  readonly atMs: number;
  readonly owner: string;
  readonly promptTokens: number;
  /** Length of its answer, which only the target knows. */
  readonly outputTokens: number;
  readonly maxTokens: number;
  /** Chance that a draft token is right, given that those before it are. */
  readonly alpha: number;
  /** The client leaves so long after its request if it has no whole answer by then. */
  readonly leavesAfterMs?: number;
}

export interface SimulatedCosts {
  readonly stages: readonly StageCost[];
  readonly t1Ms: number;
  /** Of the local drafter. */
  readonly draftTokenMs: number;
}

export interface SimulationOptions {
  readonly trace: readonly TraceRequest[];
  readonly policy: SchedulingPolicy;
  readonly costs: SimulatedCosts;
  readonly limits: SchedulerLimits;
  readonly batching: boolean;
  /** Room of the stage that has least; left out: without end. */
  readonly kvPositions?: number;
  /** Uniform in [0, 1), seeded. */
  readonly random: () => number;
}

export interface SimulatedAnswer {
  readonly request: TraceRequest;
  /** Null: refused, with the time after which to try again, or left. */
  readonly stats: SessionStats | null;
  readonly retryAfterMs: number | null;
  readonly latencyMs: number;
  readonly firstTokenMs: number;
  /** Longest time without a token since it came, ms. */
  readonly longestGapMs: number;
}

export interface Simulation {
  /** In the order of the trace. */
  readonly answers: readonly SimulatedAnswer[];
  readonly endMs: number;
  /** Share of the time in which each stage computed. */
  readonly utilisation: readonly number[];
  /** Most rows and frames on the ring at once, and most sessions that waited. */
  /** Is anything left on the ring or in the scheduler? Zeros. */
  readonly left: { readonly sessions: number; readonly requests: number; readonly frames: number };
  readonly peaks: { readonly rows: number; readonly frames: number; readonly waiting: number };
}

/** Size of the simulated vocabulary; the id at its end ends answers. */
const vocab = 4096;

export async function simulateLoad(options: SimulationOptions): Promise<Simulation> {
  const { trace, policy, costs, limits, batching, random, kvPositions = Number.POSITIVE_INFINITY } = options;
  const time = new VirtualTime();
  const requestOf = new Map<string, TraceRequest>();
  const ring = createVirtualRing({
    ...{ time, batching, vocab, stages: costs.stages, t1Ms: costs.t1Ms },
    // One that went off the ring comes back as another session, its number behind its name.
    outputTokens: (session) => requestOf.get(session.split('-')[0]!)!.outputTokens,
  });
  const planner = createDraftPlanner({
    none: createNoneDrafter(),
    ngram: silentDrafter(),
    models: [oracleDrafter(time, costs.draftTokenMs, random, (session) => requestOf.get(session)!.alpha)],
    onFailure: (_source, error) => {
      throw error;
    },
  });
  let submitted = 0;
  const scheduler = createScheduler({
    ...{ ring, limits, policy },
    drafter: planner,
    now: time.now,
    kvPositions: () => kvPositions,
    newSessionId: () => String(submitted),
    defer: (step) => time.after(0, step),
  });
  const answers: SimulatedAnswer[] = [];
  let waitingPeak = 0;
  /** Events that clients cause; all others are work that is going on. */
  let foreign = 0;
  const later = (atMs: number, run: () => void): void => {
    foreign += 1;
    time.after(atMs, () => {
      foreign -= 1;
      run();
    });
  };

  function submit(request: TraceRequest, index: number): void {
    submitted = index;
    requestOf.set(String(index), request);
    const promptIds = Array.from({ length: request.promptTokens }, () => Math.floor(random() * vocab));
    let [before, last] = [promptIds.at(-2) ?? 1, promptIds.at(-1)!];
    let received = 0;
    const arrivedMs = time.now();
    let heardMs = arrivedMs;
    let longestGapMs = 0;
    const client = new AbortController();
    try {
      scheduler.submit({
        ...{ promptIds, sampling: greedy, owner: request.owner, maxTokens: request.maxTokens },
        ...{ minTokens: 0, ignoreEos: false, eosIds: [vocab], prediction: null },
        speculation: { drafter: 'auto', draftLength: 'auto' },
        signal: client.signal,
        sink: {
          commit(ids) {
            longestGapMs = Math.max(longestGapMs, time.now() - heardMs);
            heardMs = time.now();
            for (const id of ids) {
              received += 1;
              const ends = received === request.outputTokens;
              const expected = ends ? vocab : virtualTarget(before, last, vocab);
              if (id !== expected) throw new Error(`answer ${index}: token ${received} is not the target's`);
              [before, last] = [last, id];
            }
            return null;
          },
          backlogTokens: () => 0,
          end(_reason, stats) {
            if (received !== Math.min(request.outputTokens, request.maxTokens)) {
              throw new Error(`answer ${index} ends after ${received} tokens`);
            }
            const latencyMs = stats.finishedMs - arrivedMs;
            answers[index] = {
              ...{ request, stats, latencyMs, longestGapMs, retryAfterMs: null },
              firstTokenMs: stats.firstTokenMs - arrivedMs,
            };
          },
          fail(error) {
            if (!client.signal.aborted) throw error;
            answers[index] = { ...unanswered, request };
          },
        },
      });
      if (request.leavesAfterMs !== undefined) later(request.leavesAfterMs, () => client.abort());
    } catch (error) {
      if (!(error instanceof GatewayError && error.code === 'queue_full')) throw error;
      answers[index] = { ...unanswered, request, retryAfterMs: error.retryAfterMs };
    }
    waitingPeak = Math.max(waitingPeak, scheduler.load().waiting);
  }

  for (const [index, request] of trace.entries()) later(request.atMs, () => submit(request, index));
  await time.run(() => {
    const { running, waiting } = scheduler.load();
    if (running + waiting > 0 && time.pending === foreign)
      throw new Error('the ring is idle while requests wait');
  });
  const endMs = time.now();
  const { running, waiting } = scheduler.load();
  await scheduler.close();
  return {
    ...{ answers, endMs },
    left: { sessions: ring.openSessions(), requests: running + waiting, frames: ring.inside.frames },
    utilisation: ring.busyMs.map((busyMs) => busyMs / endMs),
    peaks: { ...ring.peaks, waiting: waitingPeak },
  };
}

const unanswered = {
  ...{ stats: null, retryAfterMs: null },
  ...{ latencyMs: Number.NaN, firstTokenMs: Number.NaN, longestGapMs: Number.NaN },
};

/** A local model that is right with the chance that the trace gives each request, and takes its time. */
function oracleDrafter(
  time: VirtualTime,
  tokenMs: number,
  random: () => number,
  alphaOf: (session: string) => number,
): Drafter {
  const draftOf = ({ sequence, draftTokensMax, ahead }: DraftRequest): Draft => {
    const alpha = alphaOf(sequence.id);
    const known = [...sequence.tokens.slice(-2), ...(ahead?.ids ?? [])].slice(-2);
    let [before, last] = [known.at(-2) ?? 1, known.at(-1)!];
    const ids = new Uint32Array(draftTokensMax);
    for (let i = 0; i < ids.length; i++) {
      const right = virtualTarget(before, last, vocab);
      ids[i] = random() < alpha ? right : (right + 1) % vocab;
      [before, last] = [last, ids[i]!];
    }
    return {
      ...emptyDraft,
      ids,
      source: 'head',
      offset: ahead?.ids.length ?? 0,
      draftMs: tokenMs * ids.length,
    };
  };
  return {
    ...silentDrafter(),
    name: 'head',
    draft(requests) {
      const drafts = requests.map(draftOf);
      const draftMs = drafts.reduce((sum, draft) => sum + draft.draftMs, 0);
      return new Promise((resolve) => time.after(draftMs, () => resolve(drafts)));
    },
  };
}

/** A source that has nothing to say. */
function silentDrafter(): Drafter {
  return {
    name: 'ngram',
    counters: newDraftCounters(),
    open() {},
    observe() {},
    draft: async (requests) => requests.map(() => emptyDraft),
    close() {},
    async dispose() {},
  };
}
