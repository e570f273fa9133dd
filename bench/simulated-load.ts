/**
 * Requests through the real scheduler and the real draft planner over a simulated ring, under virtual time: what they
 * come to where the machine at hand has too few cores to show it. Requests come when their trace says so, or from users
 * who ask again as soon as they are answered. Costs of stages, links and drafts are given (fitted ones, as a rule). Each
 * answer is checked token for token while it comes in.
 */
import { greedy } from '../shards/sampler.ts';
import { createDraftPlanner } from '../src/drafting/chooser.ts';
import type { DraftPolicy } from '../src/drafting/drafter.ts';
import { createNoneDrafter } from '../src/drafting/none-drafter.ts';
import type { SchedulingPolicy } from '../src/engine/policy.ts';
import { createScheduler, type SchedulerLimits } from '../src/engine/scheduler.ts';
import type { SessionStats } from '../src/engine/session-stats.ts';
import type { StageCost } from '../src/engine/slices.ts';
import { GatewayError } from '../src/errors.ts';
import { createVirtualCores } from './virtual-cores.ts';
import { createSilentDrafter, createVirtualDrafter } from './virtual-drafter.ts';
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
  /** Work of taking a frame in, at each hop. */
  readonly hopMs: number;
  /** Of the local drafter. */
  readonly draftTokenMs: number;
}

/** Users who each take the next request of the trace as soon as they are answered, and all leave at the end. */
export interface SimulatedUsers {
  readonly count: number;
  readonly windowMs: number;
}

export interface SimulationOptions {
  readonly trace: readonly TraceRequest[];
  /** Left out: requests come when the trace says so. */
  readonly users?: SimulatedUsers;
  /** Left out: drafts as the planner chooses. */
  readonly speculation?: DraftPolicy;
  /** One machine with so many for stages and gateway together. Left out: each on a machine of its own. */
  readonly cores?: number;
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
  /** Of its tokens so far, from the beginning of the simulation. */
  readonly commitsMs: readonly number[];
}

export interface Simulation {
  /** In the order of the trace. */
  readonly answers: readonly SimulatedAnswer[];
  readonly endMs: number;
  /** Share of the time in which each stage had a pass, and in which each core worked. */
  readonly utilisation: readonly number[];
  readonly coreUtilisation: number;
  /** Is anything left on the ring or in the scheduler? Zeros. */
  readonly left: { readonly sessions: number; readonly requests: number; readonly frames: number };
  /** Most frames on the ring at once, and most sessions that waited. */
  readonly peaks: { readonly frames: number; readonly waiting: number };
}

/** Size of the simulated vocabulary; the id at its end ends answers. */
const vocab = 4096;

export async function simulateLoad(options: SimulationOptions): Promise<Simulation> {
  const { trace, users, policy, costs, limits, batching, random } = options;
  const { speculation = { drafter: 'auto', draftLength: 'auto' }, cores } = options;
  const time = new VirtualTime();
  const requestOf = new Map<string, TraceRequest>();
  const shared = createVirtualCores(time, cores ?? Number.POSITIVE_INFINITY);
  const ring = createVirtualRing({
    ...{ time, cores: shared, batching, vocab },
    ...{ stages: costs.stages, t1Ms: costs.t1Ms, hopMs: costs.hopMs },
    // One that went off the ring comes back as another session, its number behind its name.
    outputTokens: (session) => requestOf.get(session.split('-')[0]!)!.outputTokens,
  });
  const drafter = createVirtualDrafter({
    ...{ time, cores: shared, tokenMs: costs.draftTokenMs, vocab, random },
    alphaOf: (session) => requestOf.get(session)!.alpha,
  });
  const planner = createDraftPlanner({
    none: createNoneDrafter(),
    ngram: createSilentDrafter(),
    models: [drafter],
    onFailure: (_source, error) => {
      throw error;
    },
  });
  let submitted = 0;
  const scheduler = createScheduler({
    ...{ ring, limits, policy },
    drafter: planner,
    now: time.now,
    kvPositions: () => options.kvPositions ?? Number.POSITIVE_INFINITY,
    newSessionId: () => String(submitted),
    defer: (step) => time.after(0, step),
  });
  const answers: SimulatedAnswer[] = [];
  /** Of requests under way. */
  const clients = new Set<AbortController>();
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
    clients.add(client);
    const commitsMs: number[] = [];
    try {
      scheduler.submit({
        ...{ promptIds, sampling: greedy, owner: request.owner, maxTokens: request.maxTokens },
        ...{ minTokens: 0, ignoreEos: false, eosIds: [vocab], prediction: null },
        ...{ speculation },
        signal: client.signal,
        sink: {
          commit(ids) {
            longestGapMs = Math.max(longestGapMs, time.now() - heardMs);
            heardMs = time.now();
            for (const id of ids) {
              received += 1;
              commitsMs.push(time.now());
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
              ...{ request, stats, latencyMs, longestGapMs, commitsMs, retryAfterMs: null },
              firstTokenMs: stats.firstTokenMs - arrivedMs,
            };
            clients.delete(client);
            if (users !== undefined) askNext();
          },
          fail(error) {
            if (!client.signal.aborted) throw error;
            const firstTokenMs = (commitsMs[0] ?? Number.NaN) - arrivedMs;
            answers[index] = { ...unanswered, request, firstTokenMs, commitsMs };
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

  let asked = 0;
  function askNext(): void {
    const request = trace[asked];
    if (request === undefined) throw new Error(`${asked} requests are too few for these users`);
    submit(request, asked);
    asked += 1;
  }

  if (users === undefined) {
    for (const [index, request] of trace.entries()) later(request.atMs, () => submit(request, index));
  } else {
    later(0, () => {
      for (let user = 0; user < users.count; user++) askNext();
    });
    later(users.windowMs, () => {
      for (const client of clients) client.abort();
    });
  }
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
    left: { sessions: ring.openSessions(), requests: running + waiting, frames: ring.frames.now },
    utilisation: ring.busyMs.map((busyMs) => busyMs / endMs),
    coreUtilisation: shared.workedMs / (endMs * (cores ?? costs.stages.length + 1)),
    peaks: { frames: ring.frames.most, waiting: waitingPeak },
  };
}

const unanswered = {
  ...{ stats: null, retryAfterMs: null },
  ...{ latencyMs: Number.NaN, firstTokenMs: Number.NaN, longestGapMs: Number.NaN, commitsMs: [] },
};
