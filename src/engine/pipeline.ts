/**
 * The ring over real workers. chain: frames enter the first worker, rows travel from worker to worker, the verdict
 * comes straight back from the tail (N + 1 hops). star: every hop passes through the gateway (2N hops), for workers
 * that cannot reach one another and for measuring what the chain is worth.
 */
import type { ForwardStream } from '../../shards/client.ts';
import type { Clock } from '../../shards/clock.ts';
import { ShardError } from '../../shards/errors.ts';
import type { ForwardMessage } from '../../shards/forward-message.ts';
import { createHopToken } from '../../shards/hop-token.ts';
import type { RouteHop, Topology } from '../../shards/open-message.ts';
import type { VerdictMessage } from '../../shards/verdict-message.ts';
import type { Members, RoutedMember } from '../cluster/members.ts';
import type { Frame, Ring, RingHandlers, RingOpen, RingStream } from './ring.ts';

/** Clocks of machines differ by minutes at worst; a token is good for one session on one hop anyway. */
const hopTokenSlackMs = 5 * 60_000;
/**
 * A worker that ends its stream in order has been told to, by one before it that failed; word of why comes over that
 * one's own link, and may be later by as much as links differ.
 */
const causeWaitMs = 1_000;

export interface PipelineOptions {
  readonly members: Members;
  readonly topology: Topology;
  readonly clusterKey: string | null;
  readonly clock: Clock;
}

export function createPipeline(options: PipelineOptions): Ring {
  return {
    stages: () => options.members.states().length,
    open(open, handlers) {
      const route = options.members.route();
      return openRing(options, route, open, handlers);
    },
  };
}

function openRing(
  { members, topology, clusterKey, clock }: PipelineOptions,
  route: readonly RoutedMember[],
  { session, tail, adopt, remainingMs }: RingOpen,
  handlers: RingHandlers,
): RingStream {
  const { modelSha256, quantisation, fingerprint } = route[0]!.manifest.identity;
  const chainOpen = {
    topology,
    identity: { modelSha256, quantisation, fingerprint },
    remainingMs,
    adopt,
  };
  const forwards: ForwardStream[] = [];
  let ended = false;
  let cancelWait: (() => void) | null = null;

  /** `hop` counts from the worker that the stream leads to; only a loss says something about the worker itself. */
  function fail(index: number, error: ShardError): void {
    if (ended) return;
    if (error.code === 'gap') {
      const { epoch, length } = error.detail;
      handlers.onGap({ epoch: Number(epoch ?? 0), length: Number(length ?? 0) });
      return;
    }
    ended = true;
    cancelWait?.();
    const hop = Number(error.detail['hop'] ?? 0);
    const culprit = route[index + hop] ?? route[index]!;
    if (error.code === 'unreachable' || error.code === 'draining') members.report(culprit.origin, error);
    handlers.onError(error);
  }

  const eventsOf = (index: number) => ({
    onError: (error: ShardError) => fail(index, error),
    onClose: () => {
      if (ended || cancelWait !== null) return;
      const error = new ShardError('unreachable', `worker ${route[index]!.origin} ended the stream`);
      cancelWait = clock.after(causeWaitMs, () => fail(index, error));
    },
  });

  // The tail runs nothing before it knows how to choose, so its OPEN leaves first.
  const verdicts = route[route.length - 1]!.client.openVerdicts(session, tail, {
    ...eventsOf(route.length - 1),
    onVerdict: (message) => {
      if (!ended) handlers.onVerdict(ringVerdict(message));
    },
    onScores: ({ position, logprobs }) => {
      if (!ended) handlers.onScores?.(position, logprobs);
    },
  });
  function close(mode: 'keep' | 'free'): void {
    ended = true;
    cancelWait?.();
    for (const forward of forwards) forward.close(mode);
    verdicts.close();
  }

  try {
    openForwards();
  } catch (error) {
    close('free');
    throw error;
  }

  function openForwards(): void {
    if (topology === 'chain') {
      const hops = hopsAfterFirst(route, session, clusterKey, clock.unixMs() + remainingMs + hopTokenSlackMs);
      forwards.push(route[0]!.client.openForward(session, { ...chainOpen, route: hops }, eventsOf(0)));
      return;
    }
    for (const [index, { client }] of route.entries()) {
      const relay = (message: ForwardMessage): void => void forwards[index + 1]?.send(message);
      forwards.push(
        client.openForward(session, { ...chainOpen, route: [] }, { ...eventsOf(index), onForward: relay }),
      );
    }
  }

  return {
    forward(frame: Frame) {
      forwards[0]!.send({ ...frame, hidden: null, timings: [] });
    },
    linkBytes: () =>
      [verdicts, ...forwards].reduce(
        (sum, { bytesSent, bytesReceived }) => sum + bytesSent + bytesReceived,
        0,
      ),
    close,
  };
}

function hopsAfterFirst(
  route: readonly RoutedMember[],
  session: string,
  clusterKey: string | null,
  expiresAtMs: number,
): RouteHop[] {
  return route.slice(1).map(({ origin, manifest }, index) => ({
    origin,
    range: manifest.range,
    token:
      clusterKey === null
        ? null
        : createHopToken(clusterKey, { session, from: route[index]!.origin, to: origin, expiresAtMs }),
  }));
}

function ringVerdict({ epoch, round, position, timings, ...verdict }: VerdictMessage) {
  return { epoch, round, position, verdict, stages: timings };
}
