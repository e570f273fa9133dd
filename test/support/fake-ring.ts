/**
 * Workers with fake engines over real HTTP/2 sockets in one process, and a minimal gateway: enough to drive a session
 * by hand. close() fails when a socket is left over.
 */
import assert from 'node:assert/strict';
import {
  createShardClient,
  type ForwardStream,
  type ShardClient,
  type VerdictStream,
} from '../../shards/client.ts';
import { systemClock } from '../../shards/clock.ts';
import type { ForwardPass, TailOptions } from '../../shards/engine.ts';
import type { ShardError } from '../../shards/errors.ts';
import type { ForwardMessage } from '../../shards/forward-message.ts';
import { createHopToken } from '../../shards/hop-token.ts';
import { silentLog } from '../../shards/log.ts';
import type { LayerRange } from '../../shards/manifest.ts';
import type { ChainOpen, RouteHop, Topology } from '../../shards/open-message.ts';
import { greedy } from '../../shards/sampler.ts';
import type { VerdictMessage } from '../../shards/verdict-message.ts';
import { startWorker, type Worker, type WorkerOptions } from '../../shards/worker.ts';
import { createFakeEngine, type FakeEngine, fakeManifest } from './fake-engine.ts';

export interface FakeNode {
  readonly range: LayerRange;
  readonly engine: FakeEngine;
  readonly worker: Worker;
  readonly client: ShardClient;
}

export interface FakeRing {
  readonly nodes: readonly FakeNode[];
  /** Hops after the first, with tokens for `session`. */
  routeOf(session: string): RouteHop[];
  close(): Promise<void>;
}

export async function startFakeRing(
  options: {
    readonly ranges?: readonly LayerRange[];
    readonly clusterKey?: string | null;
    readonly worker?: Partial<WorkerOptions>;
    readonly beforePass?: (stage: number, pass: ForwardPass) => Promise<void> | void;
  } = {},
): Promise<FakeRing> {
  const {
    ranges = [
      { start: 0, end: 2 },
      { start: 2, end: 4 },
      { start: 4, end: 6 },
    ],
    clusterKey = 'cluster key of the tests',
  } = options;
  const nodes: FakeNode[] = [];
  for (const [stage, range] of ranges.entries()) {
    const engine = createFakeEngine({ range, beforePass: (pass) => options.beforePass?.(stage, pass) });
    const worker = await startWorker({
      engine,
      manifest: fakeManifest(range),
      host: '127.0.0.1',
      port: 0,
      clusterKey,
      log: silentLog,
      ...options.worker,
    });
    nodes.push({ range, engine, worker, client: gatewayClient(worker.origin, clusterKey) });
  }
  return {
    nodes,
    routeOf: (session) =>
      nodes.slice(1).map(({ range, worker }, index) => ({
        origin: worker.origin,
        range,
        token:
          clusterKey === null
            ? null
            : createHopToken(clusterKey, {
                session,
                from: nodes[index]!.worker.origin,
                to: worker.origin,
                expiresAtMs: Date.now() + 60_000,
              }),
      })),
    async close() {
      await Promise.all(nodes.map(({ client }) => client.close()));
      await Promise.all(nodes.map(({ worker }) => worker.close()));
      await assertNoSockets();
    },
  };
}

export function gatewayClient(origin: string, clusterKey: string | null): ShardClient {
  const authorization = (): string | null => (clusterKey === null ? null : `Bearer ${clusterKey}`);
  return createShardClient({ origin, authorization, clock: systemClock, log: silentLog });
}

export const chainIdentity: ChainOpen['identity'] = {
  modelSha256: 'a'.repeat(64),
  quantisation: 'native',
  fingerprint: 'fake',
};

export const tailOpen: TailOptions = {
  sampling: greedy,
  promptLength: 4,
  eosIds: [],
  minTokens: 0,
  ignoreEos: true,
};

export interface FakeSession {
  readonly errors: ShardError[];
  readonly forwards: readonly ForwardStream[];
  readonly verdicts: VerdictStream;
  /** Sends and waits for the verdict; rejects with the first error. */
  ask(
    frame: Partial<ForwardMessage> & Pick<ForwardMessage, 'position' | 'ids' | 'round'>,
  ): Promise<VerdictMessage>;
  send(frame: Partial<ForwardMessage> & Pick<ForwardMessage, 'position' | 'ids' | 'round'>): void;
  verdict(): Promise<VerdictMessage>;
  error(): Promise<ShardError>;
  close(mode: 'keep' | 'free'): void;
}

export function openFakeSession(
  ring: FakeRing,
  session: string,
  {
    topology = 'chain',
    open = {},
    tail = {},
  }: { topology?: Topology; open?: Partial<ChainOpen>; tail?: Partial<TailOptions> } = {},
): FakeSession {
  const errors: ShardError[] = [];
  const verdictsHeld: VerdictMessage[] = [];
  const verdictWaiters: ((verdict: VerdictMessage) => void)[] = [];
  const errorWaiters: ((error: ShardError) => void)[] = [];
  const onError = (error: ShardError): void => {
    errors.push(error);
    errorWaiters.shift()?.(error);
  };
  const onClose = (): void => {};
  const { nodes } = ring;
  const verdicts = nodes.at(-1)!.client.openVerdicts(
    session,
    { ...tailOpen, ...tail },
    {
      onError,
      onClose,
      onVerdict(verdict) {
        const waiter = verdictWaiters.shift();
        if (waiter === undefined) verdictsHeld.push(verdict);
        else waiter(verdict);
      },
    },
  );
  const chain: ChainOpen = {
    topology,
    route: [],
    identity: chainIdentity,
    remainingMs: 60_000,
    adopt: null,
    ...open,
  };
  const forwards: ForwardStream[] =
    topology === 'chain'
      ? [
          nodes[0]!.client.openForward(
            session,
            { ...chain, route: open.route ?? ring.routeOf(session) },
            { onError, onClose },
          ),
        ]
      : [];
  if (topology === 'star') {
    for (const [index, { client }] of nodes.entries()) {
      const onForward = (message: ForwardMessage): void => void forwards[index + 1]?.send(message);
      forwards.push(client.openForward(session, chain, { onError, onClose, onForward }));
    }
  }
  const self: FakeSession = {
    errors,
    forwards,
    verdicts,
    send: (frame) => void forwards[0]!.send({ epoch: 0, headFrom: 0, hidden: null, timings: [], ...frame }),
    verdict() {
      const held = verdictsHeld.shift();
      return held === undefined
        ? new Promise((resolve) => verdictWaiters.push(resolve))
        : Promise.resolve(held);
    },
    error: () =>
      errors.length > 0 ? Promise.resolve(errors[0]!) : new Promise((resolve) => errorWaiters.push(resolve)),
    ask(frame) {
      self.send(frame);
      return Promise.race([self.verdict(), self.error().then((error) => Promise.reject(error))]);
    },
    close(mode) {
      for (const forward of forwards) forward.close(mode);
      verdicts.close();
    },
  };
  return self;
}

/** Polls until `holds`, at most two seconds. */
export async function eventually(holds: () => boolean, what: string): Promise<void> {
  const start = performance.now();
  while (!holds()) {
    assert.ok(performance.now() - start < 2000, `within two seconds: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Fails when TCP sockets or servers are left over in this process. */
export async function assertNoSockets(): Promise<void> {
  const left = (): string[] => process.getActiveResourcesInfo().filter((name) => /^(TCP|TLS)/.test(name));
  await eventually(() => left().length === 0, `no socket is left (${left().join(', ')})`);
}
