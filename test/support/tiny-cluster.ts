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
import { type PackedShard, packShard } from '../../src/models/pack.ts';
import { type Serving, startServing } from '../../src/serving.ts';
import { vocabularyFile } from '../../src/worker-node.ts';
import { type TinyGgufOptions, tinyModel, writeTinyGguf } from './tiny-gguf.ts';

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
  const whole = options.lm === true ? await model.pack({ start: 0, end: layers }) : null;
  const serving = await startServing({
    model: { name: 'tiny', path: model.path, sha256: model.sha256 },
    origins: workers.map(({ origin }) => origin),
    clusterKey,
    topology: options.topology,
    drafters:
      whole === null
        ? []
        : [
            ({ vocabSize, eosIds }) =>
              startLmDrafter({
                model: {
                  ...{ onnxPath: whole.onnxPath, dims: whole.dims, range: whole.range, threads: 1, minRows },
                  ...{ kvBytesMax: 64 << 20, targetVocab: vocabSize, eosIds },
                },
                now: systemClock.now,
                onFailure: (error) => t.diagnostic(error.message),
              }),
          ],
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
