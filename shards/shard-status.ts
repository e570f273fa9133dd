/**
 * What GET /v1/shard and GET /health answer, and their strict readers: the gateway orders workers by the one and
 * judges their pulse by the other.
 */
import type { EngineLoad } from './engine.ts';
import { finite, flag, integer, nullable, object, oneOf, text } from './json-reader.ts';
import {
  type Identity,
  type ModelDims,
  modelNameCharsMax,
  quantisations,
  type ShardManifest,
} from './manifest.ts';
import { readRange, readSha256 } from './open-message.ts';

/** GET /v1/shard */
export interface ShardStatus {
  readonly manifest: ShardManifest;
  readonly load: EngineLoad;
  /** True once the worker takes no new sessions. */
  readonly draining: boolean;
}

/** GET /health */
export interface ShardHealth {
  readonly status: 'ok' | 'draining';
  /** How long the pass in flight has been running, ms; null when the engine is idle. A PING proves the main thread alone. */
  readonly passAgeMs: number | null;
}

const countMax = Number.MAX_SAFE_INTEGER;
const dimensionMax = 2 ** 24;
/** More sessions than one pass of any graph carries. */
const slotsMax = 1024;

const readDims = object<ModelDims>({
  architecture: oneOf(['llama']),
  layers: integer(1, 1024),
  hidden: integer(1, dimensionMax),
  heads: integer(1, dimensionMax),
  kvHeads: integer(1, dimensionMax),
  headDim: integer(1, dimensionMax),
  ffn: integer(1, dimensionMax),
  vocab: integer(1, dimensionMax),
  contextLength: integer(1, dimensionMax),
  ropeTheta: finite(0, Number.MAX_VALUE),
  rmsEpsilon: finite(0, 1),
});

const readIdentity = object<Identity>({
  modelSha256: readSha256,
  quantisation: oneOf(quantisations),
  rotary: oneOf(['half']),
  padAttention: flag,
  flashAttention: oneOf([false]),
  runtime: text(200),
  wire: oneOf(['f32']),
  fingerprint: text(128),
});

const readManifest = object<ShardManifest>({
  protocol: integer(0, 255),
  modelName: text(modelNameCharsMax),
  dims: readDims,
  range: readRange,
  identity: readIdentity,
  invariant: flag,
  kvBytesPerPosition: integer(0, countMax),
});

export const readShardStatus = object<ShardStatus>({
  manifest: readManifest,
  load: object<EngineLoad>({
    sessions: integer(0, countMax),
    kvBytes: integer(0, countMax),
    kvBytesMax: integer(0, countMax),
    slots: integer(1, slotsMax),
    passes: integer(0, countMax),
    frames: integer(0, countMax),
    rows: integer(0, countMax),
  }),
  draining: flag,
});

export const readShardHealth = object<ShardHealth>({
  status: oneOf(['ok', 'draining']),
  passAgeMs: nullable(finite(0, countMax)),
});
