/**
 * One worker process from model name to served shard: resolve the file, pack the range (or find it packed), prove
 * the arithmetic, start the engine in its thread, listen. Used by `foretoken worker` and by embedded workers alike.
 */
import { createHash } from 'node:crypto';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../shards/clock.ts';
import { startEngineThread } from '../shards/engine-host.ts';
import { protocolVersion } from '../shards/frame.ts';
import type { Log } from '../shards/log.ts';
import {
  formatRange,
  type Identity,
  isTail,
  type LayerRange,
  modelNameCharsMax,
  type Quantisation,
  type ShardManifest,
} from '../shards/manifest.ts';
import { type InvarianceProof, proveInvarianceOnce } from '../shards/probe.ts';
import { runtimeVersion } from '../shards/runtime.ts';
import { encodeTokenBytes } from '../shards/token-bytes-file.ts';
import { startWorker } from '../shards/worker.ts';
import { type GgufFile, readGguf } from './models/gguf.ts';
import { modelDims } from './models/model-dims.ts';
import { type PackedShard, packShard } from './models/pack.ts';
import type { ResolvedModel } from './models/pull.ts';
import { type BatchGraphs, chooseGraphs } from './shard-graphs.ts';
import { createTokenizer } from './text/tokenizer.ts';

const runtime = `onnxruntime-node ${runtimeVersion}`;

/** The products of a shard are too small to gain from more. */
const engineThreadsByCoresMax = 8;

export interface WorkerNodeOptions {
  readonly model: ResolvedModel;
  readonly range: LayerRange;
  readonly quantisation: Quantisation;
  /** FORETOKEN_HOME: packs lie in its `packs` folder. */
  readonly home: string;
  readonly host: string;
  readonly port: number;
  readonly clusterKey: string | null;
  readonly kvBytesMax: number;
  /** Sessions that may share a pass. */
  readonly batchSessions: number;
  readonly batchGraphs: BatchGraphs;
  /** Of the engine; 0: as many as the machine has cores. */
  readonly threads: number;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly onProgress: (stage: 'pack' | 'prove' | 'load', done: number, total: number) => void;
}

export interface WorkerNode {
  readonly origin: string;
  close(): Promise<void>;
}

export async function startWorkerNode(options: WorkerNodeOptions): Promise<WorkerNode> {
  const { model, range, log } = options;
  const pack = await packRange(options);
  options.onProgress('prove', 0, 1);
  const threads = engineThreads(options.threads);
  const proof = await orAborted(proveShard(pack, threads), options.signal);
  options.onProgress('load', 0, 1);
  const batchSessions = proof.shareable ? options.batchSessions : 1;
  if (proof.invariant && batchSessions < options.batchSessions) {
    log.warn({ layers: formatRange(range) }, 'shared passes change bits on this machine: one session a pass');
  }
  const availableBytes = process.availableMemory();
  const graphs = chooseGraphs({ ...options, pack, batchSessions, availableBytes });
  const loading = startEngineThread({
    ...graphs,
    vocabPath: pack.vocabPath,
    dims: pack.dims,
    range,
    threads,
    kvBytesMax: options.kvBytesMax,
    minRows: proof.minRows,
  });
  const engine = await orAborted(loading, options.signal);
  const manifest: ShardManifest = {
    protocol: protocolVersion,
    modelName: model.name.slice(0, modelNameCharsMax),
    dims: pack.dims,
    range,
    identity: identityOf(pack, proof.fingerprint),
    invariant: proof.invariant,
    kvBytesPerPosition: 2 * (range.end - range.start) * pack.dims.kvHeads * pack.dims.headDim * 4,
  };
  try {
    const worker = await startWorker({
      engine,
      manifest,
      host: options.host,
      port: options.port,
      clusterKey: options.clusterKey,
      clock: systemClock,
      log,
      limits: { passSessionsMax: batchSessions, stagesAtOnceMax: shardsAtOnce(threads) },
    });
    const role = isTail(range, pack.dims) ? 'tail' : range.start === 0 ? 'first' : 'inner';
    const { minRows } = proof;
    const graphCount = graphs.shared === null ? 1 : 2;
    log.info(
      { origin: worker.origin, layers: formatRange(range), role, minRows, batchSessions, graphs: graphCount },
      'worker serves',
    );
    return {
      origin: worker.origin,
      async close() {
        await worker.close();
        await engine.dispose();
      },
    };
  } catch (error) {
    await engine.dispose();
    throw error;
  }
}

/** The pack of a range in the store's `packs` folder, made if absent. Throws RangeError, ModelFileError, PullError. */
export async function packRange(
  options: Pick<WorkerNodeOptions, 'model' | 'range' | 'quantisation' | 'home' | 'signal' | 'onProgress'>,
): Promise<PackedShard> {
  const { model, range, quantisation, home, signal, onProgress } = options;
  const file = await readGguf(model.path);
  const dims = modelDims(file);
  if (range.end > dims.layers) {
    throw new RangeError(`${model.name} has ${dims.layers} layers; ${formatRange(range)} is not among them.`);
  }
  const folder = `${model.sha256.slice(0, 16)}-${quantisation}-${range.start}-${range.end}`;
  return packShard({
    file,
    sha256: model.sha256,
    modelName: model.name,
    range,
    quantisation,
    directory: join(home, 'packs', folder),
    tokenBytes: () => vocabularyFile(file),
    signal,
    onProgress: (done, total) => onProgress('pack', done, total),
  });
}

/** vocab.bin of a model. Throws TextError. */
export function vocabularyFile({ metadata }: Pick<GgufFile, 'metadata'>): Uint8Array {
  const { vocabSize, tokenBytes } = createTokenizer(metadata);
  return encodeTokenBytes(Array.from({ length: vocabSize }, (_, id) => tokenBytes(id)));
}

/** Threads of a shard's engine when `asked` for so many; 0 asks for its share of the cores of a machine with `shards` of them. */
export function engineThreads(asked: number, shards = 1): number {
  const share = Math.max(1, Math.floor(availableParallelism() / shards));
  return asked || Math.min(share, engineThreadsByCoresMax);
}

/** Shards that run at once where each has so many threads: one with fewer than it could use leaves the rest to others. */
export function shardsAtOnce(threads: number, cores = availableParallelism()): number {
  const alone = threads >= Math.min(cores, engineThreadsByCoresMax);
  return alone ? Number.POSITIVE_INFINITY : Math.floor(cores / threads);
}

/** The start-up proof of a pack on this machine, out of the folder of the pack if it was made before. */
export function proveShard(pack: PackedShard, threads: number): Promise<InvarianceProof> {
  const { onnxPath, shared, probePath, dims, range, directory } = pack;
  return proveInvarianceOnce(
    { onnxPath, shared, probePath, dims, range, threads },
    join(directory, `proof-${machineSum(threads)}.json`),
  );
}

function identityOf(pack: PackedShard, fingerprint: string): Identity {
  return {
    modelSha256: pack.modelSha256,
    quantisation: pack.quantisation,
    rotary: 'half',
    padAttention: true,
    flashAttention: false,
    runtime,
    wire: 'f32',
    fingerprint,
  };
}

/** What a proof is bound to besides the pack: another CPU or runtime takes other kernels. */
function machineSum(threads: number): string {
  const parts = [cpus()[0]?.model, process.arch, process.platform, process.versions.node, runtime, threads];
  return createHash('sha256').update(parts.join('|')).digest('hex').slice(0, 16);
}

/** The promise, or a rejection at once when the signal is aborted: native code cannot be stopped, only left behind. */
function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
