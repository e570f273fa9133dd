/**
 * A whole cluster of the tiny model in this process: real engines, real HTTP/2 between them, no child processes. For
 * tests that need thousands of answers.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { systemClock } from '../../shards/clock.ts';
import { protocolVersion } from '../../shards/frame.ts';
import { createLocalEngine } from '../../shards/local-engine.ts';
import { silentLog } from '../../shards/log.ts';
import type { LayerRange, ShardManifest } from '../../shards/manifest.ts';
import type { Topology } from '../../shards/open-message.ts';
import { startWorker, type Worker } from '../../shards/worker.ts';
import { startLmDrafter } from '../../src/drafting/lm-drafter.ts';
import type { SchedulingPolicy } from '../../src/engine/policy.ts';
import { readGguf } from '../../src/models/gguf.ts';
import { readHeadFile } from '../../src/models/head-file.ts';
import { packHead } from '../../src/models/head-pack.ts';
import { type PackedShard, packShard } from '../../src/models/pack.ts';
import { type Serving, type ServingOptions, startServing } from '../../src/serving.ts';
import type { Tokenizer } from '../../src/text/tokenizer.ts';
import { vocabularyFile } from '../../src/worker-node.ts';
import { type TinyGgufOptions, tinyModel, writeTinyGguf } from './tiny-gguf.ts';
import { writeTinyHead } from './tiny-head.ts';

const clusterKey = 'a key for tests on loopback';

export interface TinyModel {
  readonly path: string;
  readonly sha256: string;
  pack(range: LayerRange): Promise<PackedShard>;
}

/** Writes the model into a folder that goes with the test. */
export async function makeTinyModel(t: TestContext, options: TinyGgufOptions = {}): Promise<TinyModel> {
  const folder = await mkdtemp(join(tmpdir(), 'foretoken-tiny-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const { path, sha256 } = await writeTinyGguf(join(folder, 'tiny.gguf'), options);
  const file = await readGguf(path);
  return {
    path,
    sha256,
    pack: (range) =>
      packShard({
        file,
        sha256,
        modelName: 'tiny',
        range,
        quantisation: 'native',
        directory: join(folder, `${range.start}-${range.end}`),
        tokenBytes: () => vocabularyFile(file),
      }),
  };
}

export interface TinyCluster {
  readonly serving: Serving;
  readonly workers: readonly Worker[];
}

export interface TinyClusterOptions {
  readonly workers: number;
  readonly topology: Topology;
  /** A local draft model: the target itself. */
  readonly lm?: boolean;
  /** A draft head: of random weights, seldom right. */
  readonly head?: boolean;
  readonly sessionsMax?: number;
  readonly queuedMax?: number;
  readonly scheduling?: SchedulingPolicy;
  readonly layers?: number;
  readonly kvBytesMax?: number;
}

/** minRows 2 holds on every machine that the tests run on. */
const minRows = 2;

export async function startTinyCluster(
  t: TestContext,
  model: TinyModel,
  options: TinyClusterOptions,
): Promise<TinyCluster> {
  const layers = options.layers ?? tinyModel.layers;
  const workers: Worker[] = [];
  for (let i = 0; i < options.workers; i++) {
    const range = {
      start: Math.floor((layers * i) / options.workers),
      end: Math.floor((layers * (i + 1)) / options.workers),
    };
    const pack = await model.pack(range);
    const engine = await createLocalEngine({
      ...pack,
      ...{ threads: 1, kvBytesMax: options.kvBytesMax ?? 64 << 20, minRows },
    });
    const worker = await startWorker({
      engine,
      manifest: manifestOf(pack),
      host: '127.0.0.1',
      port: 0,
      clusterKey,
      log: silentLog,
    });
    t.after(async () => {
      await worker.close();
      await engine.dispose();
    });
    workers.push(worker);
  }
  return { serving: await startTinyServing(t, model, workers, options), workers };
}

/** A gateway over workers that are there. */
export async function startTinyServing(
  t: TestContext,
  model: TinyModel,
  workers: readonly Worker[],
  options: TinyClusterOptions,
): Promise<Serving> {
  const layers = options.layers ?? tinyModel.layers;
  const drafters = [
    ...(options.lm === true ? [await wholeModelDrafter(t, model, layers)] : []),
    ...(options.head === true ? [await headDrafter(t, model)] : []),
  ];
  const serving = await startServing({
    model: { name: 'tiny', path: model.path, sha256: model.sha256 },
    origins: workers.map(({ origin }) => origin),
    clusterKey,
    topology: options.topology,
    drafters,
    sessionsMax: options.sessionsMax ?? 8,
    queuedMax: options.queuedMax ?? 64,
    scheduling: options.scheduling ?? 'laps',
    contextMax: null,
    allowVariant: false,
    clock: systemClock,
    log: silentLog,
    signal: new AbortController().signal,
  });
  // After-hooks run in order of registration; the gateway leaves first, so this one must not wait for the workers'.
  t.after(() => serving.close());
  return serving;
}

type StartDrafter = ServingOptions['drafters'][number];

async function wholeModelDrafter(t: TestContext, model: TinyModel, layers: number): Promise<StartDrafter> {
  const { onnxPath, dims, range } = await model.pack({ start: 0, end: layers });
  return (tokenizer) =>
    startLmDrafter({ ...drafterOptions(t), model: { onnxPath, dims, range, ...limitsFor(tokenizer) } });
}

async function headDrafter(t: TestContext, { path, sha256 }: TinyModel): Promise<StartDrafter> {
  const directory = await mkdtemp(join(tmpdir(), 'foretoken-tiny-head-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const ids = Array.from({ length: tinyModel.vocab / 2 }, (_, i) => 2 * i);
  const pack = await packHead({
    head: await readHeadFile(await writeTinyHead({ directory, targetSha256: sha256, ids })),
    target: await readGguf(path),
    targetSha256: sha256,
    packsDirectory: directory,
  });
  return (tokenizer) =>
    startLmDrafter({
      ...drafterOptions(t),
      name: 'head',
      model: { ...pack, ...limitsFor(tokenizer) },
    });
}

function drafterOptions(t: TestContext) {
  return { now: systemClock.now, onFailure: (error: Error) => t.diagnostic(error.message) };
}

function limitsFor({ vocabSize, eosIds }: Tokenizer) {
  return { threads: 1, minRows, kvBytesMax: 64 << 20, targetVocab: vocabSize, eosIds } as const;
}

function manifestOf(pack: PackedShard): ShardManifest {
  return {
    protocol: protocolVersion,
    modelName: 'tiny',
    dims: pack.dims,
    range: pack.range,
    identity: {
      modelSha256: pack.modelSha256,
      quantisation: pack.quantisation,
      rotary: 'half',
      padAttention: true,
      flashAttention: false,
      runtime: 'test',
      wire: 'f32',
      fingerprint: 'f'.repeat(64),
    },
    invariant: true,
    kvBytesPerPosition: 2 * (pack.range.end - pack.range.start) * pack.dims.kvHeads * pack.dims.headDim * 4,
  };
}
