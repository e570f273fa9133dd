/**
 * A whole cluster on one machine for measuring: worker processes, a slow link in front of each, and gateways over
 * them. Every connection to a worker, from the gateway or from the worker before, passes that worker's link, so a pass
 * crosses N + 1 links in a chain and 2N in a star, as it would between N + 1 machines.
 */
import { randomBytes } from 'node:crypto';
import { systemClock } from '../shards/clock.ts';
import type { Log } from '../shards/log.ts';
import type { Quantisation } from '../shards/manifest.ts';
import type { Topology } from '../shards/open-message.ts';
import { splitLayers } from '../src/cluster/placement.ts';
import { spawnWorker, type WorkerProcess } from '../src/embedded-workers.ts';
import { createPipeline } from '../src/engine/pipeline.ts';
import type { Ring } from '../src/engine/ring.ts';
import type { LocalDraft } from '../src/local-draft.ts';
import { readGguf } from '../src/models/gguf.ts';
import { modelDims } from '../src/models/model-dims.ts';
import type { ResolvedModel } from '../src/models/pull.ts';
import { type Serving, type ServingOptions, startServing } from '../src/serving.ts';
import { engineThreads } from '../src/worker-node.ts';
import { type DelayLinks, startDelayLinks } from './delay-links.ts';
import type { LinkShape } from './delay-schedule.ts';

/** What every cluster of a run shares. */
export interface ClusterModel {
  readonly model: ResolvedModel;
  readonly home: string;
  readonly quantisation: Quantisation;
  readonly kvBytesMax: number;
  /** Beside copying; null: none. */
  readonly lm: LocalDraft;
  readonly log: Log;
  /** Sessions whose rows may share a pass of a worker; left out: as many as a worker takes by itself. */
  readonly batchSessions?: number;
}

/** How a gateway differs from that of a measurement of one answer at a time. */
export type GatewayLoad = Partial<Pick<ServingOptions, 'sessionsMax' | 'queuedMax' | 'scheduling'>>;

export interface BenchCluster {
  readonly links: DelayLinks;
  /** A gateway through the links; only a chain gets the local drafter, a star is measured without drafts. */
  openGateway(topology: Topology, load?: GatewayLoad): Promise<Serving>;
  /** The chain that a gateway drives, for frames that no scheduler would send. */
  ringOf(gateway: Serving): Ring;
  /** A gateway that dials the workers themselves: no link, no delay, no proxy, no local drafter. */
  openDirectGateway(): Promise<Serving>;
  /** This process, the workers and the links. */
  readonly pids: readonly number[];
  /** Ends gateways, links and workers. */
  close(): Promise<void>;
}

/** `environment`: further variables of the worker processes. */
export async function startCluster(
  shared: ClusterModel,
  workerCount: number,
  shape: LinkShape,
  environment: Readonly<Record<string, string>> = {},
): Promise<BenchCluster> {
  const { model, home, quantisation, kvBytesMax, lm, log, batchSessions } = shared;
  const clusterKey = randomBytes(32).toString('hex');
  const ranges = splitLayers(modelDims(await readGguf(model.path)), workerCount);
  const workers: WorkerProcess[] = [];
  const gateways: Serving[] = [];
  let links: DelayLinks | null = null;

  const close = async (): Promise<void> => {
    await Promise.all(gateways.map((gateway) => gateway.close()));
    await links?.close();
    await Promise.all(workers.map((worker) => worker.stop()));
  };
  try {
    for (const range of ranges) {
      const worker = await spawnWorker({
        model: model.entry === null ? model.path : model.name,
        ...{ home, range, quantisation, clusterKey, kvBytesMax, port: 0, logLevel: 'warn', environment },
        ...(batchSessions === undefined ? {} : { batchSessions }),
        threads: engineThreads(0, workerCount),
        onNote: () => {},
      });
      workers.push(worker);
    }
    const started = await startDelayLinks(shape);
    links = started;
    const linked: string[] = [];
    for (const { port } of workers) linked.push(`http://127.0.0.1:${await started.open(port)}`);

    const openOver = async (
      origins: readonly string[],
      topology: Topology,
      drafter: LocalDraft,
      load: GatewayLoad = {},
    ): Promise<Serving> => {
      const gateway = await startServing({
        ...{
          model,
          origins,
          clusterKey,
          topology,
          log,
          drafters: drafter === null ? [] : [drafter],
          sessionsMax: 1,
          queuedMax: 1,
          ...load,
        },
        contextMax: null,
        allowVariant: true,
        clock: systemClock,
        signal: new AbortController().signal,
      });
      gateways.push(gateway);
      return gateway;
    };
    return {
      links: started,
      pids: [process.pid, started.pid, ...workers.map(({ pid }) => pid)],
      openGateway: (topology, load) => openOver(linked, topology, topology === 'chain' ? lm : null, load),
      ringOf: ({ members }) => createPipeline({ members, topology: 'chain', clusterKey, clock: systemClock }),
      openDirectGateway: () =>
        openOver(
          workers.map(({ origin }) => origin),
          'chain',
          null,
        ),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
