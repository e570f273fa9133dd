/**
 * Who is in the ring and whether it answers. Probes every worker's manifest, at a calm pace while it is well and more
 * often while it is not; a broken stream reports a loss at once. Decides nothing about sessions: it only says whether
 * there is a complete route now, and why not.
 */
import { createShardClient, type ShardClient } from '../../shards/client.ts';
import type { Clock } from '../../shards/clock.ts';
import { type ShardError, type ShardErrorCode, toShardError } from '../../shards/errors.ts';
import type { Log } from '../../shards/log.ts';
import type { ShardManifest } from '../../shards/manifest.ts';
import { GatewayError } from '../errors.ts';
import { planRoute, RouteError, type RouteRules } from './route.ts';

/** A worker that is well is asked this often; its keep-alive notices a silent peer sooner. */
const probeIntervalMs = 5_000;
/** One that is not: a restarted worker is back in service within this. */
const retryIntervalMs = 500;

/** joining: never answered yet. ready: the last probe answered. lost: answered once, not now. */
export type MemberState = 'joining' | 'ready' | 'lost';

export interface Member {
  readonly origin: string;
  readonly client: ShardClient;
  state: MemberState;
  manifest: ShardManifest | null;
  /** Budget of its key/value caches. */
  kvBytesMax: number;
  /** Why the last probe or stream failed. */
  problem: { readonly code: ShardErrorCode; readonly message: string } | null;
  cancelProbe: () => void;
}

export interface RoutedMember {
  readonly origin: string;
  readonly client: ShardClient;
  readonly manifest: ShardManifest;
}

export interface Members {
  /** The complete route in ring order. Throws GatewayError: model_loading while joining, shard_lost afterwards. */
  route(): RoutedMember[];
  /** Positions of keys and values that every worker has room for, over all sessions; those that never answered do not count. */
  kvPositions(): number;
  /** Null when route() would succeed, else what an operator should know. */
  problem(): string | null;
  /** Resolves when the first complete route stands. Throws RouteError for a cluster that cannot serve as it is. */
  waitReady(signal: AbortSignal): Promise<void>;
  /** A stream to this worker broke: it counts as lost until it answers again. */
  report(origin: string, error: unknown): void;
  states(): readonly { readonly origin: string; readonly state: MemberState }[];
  close(): Promise<void>;
}

export interface MembersOptions extends RouteRules {
  readonly origins: readonly string[];
  readonly clusterKey: string | null;
  readonly clock: Clock;
  readonly log: Log;
}

export function createMembers(options: MembersOptions): Members {
  const { clock, log, clusterKey } = options;
  const members = options.origins.map((origin): Member => {
    const authorization = (): string | null => (clusterKey === null ? null : `Bearer ${clusterKey}`);
    // The end of a connection says it sooner than the next probe would. Once: a peer that hangs up each time is no news.
    const onLost = (error: ShardError): void => {
      if (member.state === 'ready') report(origin, error);
    };
    const member: Member = {
      origin,
      client: createShardClient({ origin, authorization, clock, log, onLost }),
      state: 'joining',
      manifest: null,
      kvBytesMax: Number.POSITIVE_INFINITY,
      problem: null,
      cancelProbe: () => {},
    };
    return member;
  });
  let closed = false;
  const watchers = new Set<() => void>();

  async function probe(member: Member): Promise<void> {
    member.cancelProbe();
    try {
      const { manifest, load } = await member.client.status();
      member.manifest = manifest;
      member.kvBytesMax = load.kvBytesMax;
      if (member.state !== 'ready') log.info({ worker: member.origin }, 'worker is ready');
      member.state = 'ready';
      member.problem = null;
    } catch (error) {
      markLost(member, error);
    }
    if (closed) return;
    const pause = member.state === 'ready' ? probeIntervalMs : retryIntervalMs;
    member.cancelProbe();
    member.cancelProbe = clock.after(pause, () => void probe(member));
    for (const watcher of watchers) watcher();
  }

  function report(origin: string, error: unknown): void {
    const member = members.find((candidate) => candidate.origin === origin);
    if (member === undefined || closed) return;
    markLost(member, error);
    void probe(member);
  }

  function markLost(member: Member, error: unknown): void {
    const { code, message } = toShardError(error);
    if (member.state === 'ready') log.warn({ worker: member.origin, code }, `worker is lost: ${message}`);
    else if (member.state === 'joining' && member.problem?.code !== code)
      log.warn({ worker: member.origin, code }, `worker does not answer yet: ${message}`);
    if (member.state === 'ready') member.state = 'lost';
    member.problem = { code, message };
  }

  function ready(): RoutedMember[] | null {
    const routed: RoutedMember[] = [];
    for (const { origin, client, manifest, state } of members) {
      if (state !== 'ready' || manifest === null) return null;
      routed.push({ origin, client, manifest });
    }
    return routed;
  }

  /** planRoute keeps the objects that it is given. */
  function ordered(routed: readonly RoutedMember[]): RoutedMember[] {
    return planRoute(routed, options) as RoutedMember[];
  }

  function describeMissing(): string {
    const missing = members.filter(({ state }) => state !== 'ready');
    return missing
      .map(
        ({ origin, state, problem }) =>
          `worker ${origin} is ${state}${problem === null ? '' : ` (${problem.message})`}`,
      )
      .join('; ');
  }

  for (const member of members) void probe(member);

  return {
    route() {
      const routed = ready();
      if (routed !== null) return ordered(routed);
      const code = members.some(({ state }) => state === 'joining') ? 'model_loading' : 'shard_lost';
      const message =
        code === 'model_loading'
          ? 'The model is still loading. Send the request again in a moment.'
          : 'A shard of the model is out of reach at the moment. Send the request again in a moment.';
      throw new GatewayError(code, message, { cause: new RouteError(describeMissing()) });
    },

    kvPositions: () =>
      Math.min(
        ...members.map(({ manifest, kvBytesMax }) =>
          manifest === null ? Number.POSITIVE_INFINITY : Math.floor(kvBytesMax / manifest.kvBytesPerPosition),
        ),
      ),

    problem() {
      const routed = ready();
      if (routed === null) return describeMissing();
      try {
        ordered(routed);
        return null;
      } catch (error) {
        return (error as Error).message;
      }
    },

    waitReady(signal) {
      return new Promise((resolve, reject) => {
        const done = (settle: () => void): void => {
          watchers.delete(check);
          signal.removeEventListener('abort', onAbort);
          settle();
        };
        const onAbort = (): void => done(() => reject(signal.reason));
        const check = (): void => {
          // A wrong key does not mend itself, unlike a worker that is still starting.
          const refused = members.find(({ problem }) => problem?.code === 'unauthorized');
          if (refused !== undefined) {
            const message = `Worker ${refused.origin} refuses the cluster key. FORETOKEN_CLUSTER_KEY must be the same on the gateway and on every worker.`;
            done(() => reject(new RouteError(message)));
            return;
          }
          const routed = ready();
          if (routed === null) return;
          try {
            ordered(routed);
            done(resolve);
          } catch (error) {
            done(() => reject(error));
          }
        };
        signal.addEventListener('abort', onAbort, { once: true });
        watchers.add(check);
        check();
      });
    },

    report,

    states: () => members.map(({ origin, state }) => ({ origin, state })),

    async close() {
      closed = true;
      for (const member of members) member.cancelProbe();
      await Promise.all(members.map(({ client }) => client.close()));
    },
  };
}
