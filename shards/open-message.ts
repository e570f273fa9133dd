/**
 * The two OPENs of a session. The one that goes down the chain says where the rows go and what arithmetic is
 * expected; the one on the verdict stream tells the tail alone how to choose tokens. Inner workers never see
 * sampling, prompts or text. Both are JSON, strict and bounded.
 */

import { draftPairsMax } from './draft-probs.ts';
import type { Adoption, LogitBias, TailOptions } from './engine.ts';
import { ShardError } from './errors.ts';
import {
  allocateFrame,
  badFrame,
  type Frame,
  headerBytes,
  hopsMax,
  openBytesMax,
  positionMax,
} from './frame.ts';
import { grammarCharsMax } from './grammar.ts';
import { hopTokenLengthMax } from './hop-token.ts';
import {
  finite,
  flag,
  integer,
  list,
  nullable,
  object,
  oneOf,
  optional,
  type Reader,
  readJson,
  text,
} from './json-reader.ts';
import { logprobsTopMax } from './logprobs.ts';
import { type Identity, type LayerRange, quantisations } from './manifest.ts';
import { encodeJson } from './messages.ts';
import type { Penalties } from './penalties.ts';
import type { Sampling } from './sampler.ts';
import type {
  AdaptiveVerification,
  CoupledVerification,
  RejectionVerification,
  Verification,
} from './verification.ts';

/** One worker after the receiver of an OPEN. */
export interface RouteHop {
  /** scheme://host:port and nothing more. */
  readonly origin: string;
  readonly range: LayerRange;
  /** What the worker before shows to this one (hop-token.ts); null in a cluster without a key. */
  readonly token: string | null;
}

/** The part of a shard's identity that a session insists on. */
export type RouteIdentity = Pick<Identity, 'modelSha256' | 'quantisation' | 'fingerprint'>;

export const topologies = ['chain', 'star'] as const;
/** chain: rows go on to the next hop. star: they come back on the response side, to be relayed by the gateway. */
export type Topology = (typeof topologies)[number];

/** OPEN down the chain. */
export interface ChainOpen {
  readonly topology: Topology;
  /** Hops after the receiver, in order; empty at the tail and in a star. */
  readonly route: readonly RouteHop[];
  readonly identity: RouteIdentity;
  /** Milliseconds that the session may still live: never a clock time. */
  readonly remainingMs: number;
  /** Rows to start from. Ignored by a worker that still holds this very session. */
  readonly adopt: Adoption | null;
}

/** OPEN on the verdict stream. */
export type TailOpen = TailOptions;

/** Names of sessions: they appear in paths and logs. */
export const sessionPattern = /^[A-Za-z0-9_-]{1,64}$/;
/** A session lives a day at most: what runs longer was forgotten. */
const remainingMsMax = 24 * 60 * 60 * 1000;
/** Layers of a model: eight times the deepest in use. */
const layersMax = 1024;
/** Ids that end an answer: models have one to five. */
const eosIdsMax = 64;
/** Ids with a bias of their own; OpenAI's clients send a handful, and all of these fit an OPEN. */
export const logitBiasMax = 1024;
const originLengthMax = 256;
/** A repetition penalty outside of these leaves nothing of a logit's meaning. */
export const repetitionMin = 0.01;
export const repetitionMax = 100;
/** Slack of adaptive verification: beyond it the draft writes the answer. */
export const tauMax = 0.9;
/** A ratio of entropies that nothing exceeds. */
export const lambda1Max = 1e6;
const u32Max = 0xffffffff;

/** Checks that `value` is an origin: http or https, no path, query or user. Throws bad_frame. */
export const readOrigin: Reader<string> = (value, path) => {
  const origin = text(originLengthMax)(value, path);
  const url = URL.canParse(origin) ? new URL(origin) : null;
  if (url === null || !/^https?:$/.test(url.protocol) || url.origin !== origin) {
    throw badFrame(`${path} must be an origin such as http://10.0.0.2:8100`);
  }
  return origin;
};

export const readRange: Reader<LayerRange> = (value, path) => {
  const range = object<LayerRange>({ start: integer(0, layersMax), end: integer(1, layersMax) })(value, path);
  if (range.start >= range.end) throw badFrame(`${path} is empty`);
  return range;
};

export const readSha256 = text(64, /^[0-9a-f]{64}$/);

const readChainOpen = object<ChainOpen>({
  topology: oneOf(topologies),
  route: list(
    object<RouteHop>({ origin: readOrigin, range: readRange, token: nullable(text(hopTokenLengthMax)) }),
    hopsMax,
  ),
  identity: object<RouteIdentity>({
    modelSha256: readSha256,
    quantisation: oneOf(quantisations),
    fingerprint: text(128),
  }),
  remainingMs: integer(1, remainingMsMax),
  adopt: nullable(object<Adoption>({ donor: text(64, sessionPattern), length: integer(0, positionMax) })),
});

const readModes = {
  coupled: object<CoupledVerification>({ mode: oneOf(['coupled']) }),
  rejection: object<RejectionVerification>({ mode: oneOf(['rejection']), topK: integer(1, draftPairsMax) }),
  adaptive: object<AdaptiveVerification>({
    mode: oneOf(['adaptive']),
    tau: finite(0, tauMax),
    lambda1: finite(0, lambda1Max),
    lambda2: finite(0, 1),
    lambda3: finite(0, 1),
  }),
};

const readVerification: Reader<Verification> = (value, path) => {
  const mode = typeof value === 'object' && value !== null && 'mode' in value ? value.mode : undefined;
  return readModes[oneOf(['coupled', 'rejection', 'adaptive'])(mode, `${path}.mode`)](value, path);
};

const readTailOpen = object<TailOpen>({
  sampling: object<Sampling>({
    temperature: finite(0, 100),
    topK: integer(0, u32Max),
    topP: finite(0, 1),
    minP: finite(0, 1),
    seed: object({ low: integer(0, u32Max), high: integer(0, u32Max) }),
  }),
  promptLength: integer(1, positionMax),
  eosIds: list(integer(0, u32Max), eosIdsMax),
  minTokens: integer(0, positionMax),
  ignoreEos: flag,
  penalties: optional(
    object<Penalties>({
      frequency: finite(-2, 2),
      presence: finite(-2, 2),
      repetition: finite(repetitionMin, repetitionMax),
    }),
  ),
  logitBias: optional(
    list(object<LogitBias>({ id: integer(0, u32Max), bias: finite(-100, 100) }), logitBiasMax),
  ),
  logprobs: optional(integer(0, logprobsTopMax)),
  verification: optional(readVerification),
  grammar: optional(text(grammarCharsMax)),
});

/** Throws ShardError bad_request for what the other end would refuse: the caller's mistake, told before it travels. */
export function encodeChainOpen(open: ChainOpen): Uint8Array {
  return encodeOpen(pick(open, readChainOpen));
}

export function encodeTailOpen(open: TailOpen): Uint8Array {
  return encodeOpen(pick(open, readTailOpen));
}

export function decodeChainOpen(frame: Frame): ChainOpen {
  return readJson(frame.payload, readChainOpen, 'OPEN');
}

export function decodeTailOpen(frame: Frame): TailOpen {
  return readJson(frame.payload, readTailOpen, 'OPEN');
}

function pick<T>(open: T, reader: Reader<T>): T {
  try {
    return reader(open, 'OPEN');
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new ShardError('bad_request', `the session cannot be opened: ${message}`, { cause: error });
  }
}

function encodeOpen(json: object): Uint8Array {
  const payload = encodeJson(json);
  if (payload.length > openBytesMax)
    throw new ShardError('bad_request', `OPEN is above ${openBytesMax} bytes`);
  const bytes = allocateFrame({ type: 'open', epoch: 0, round: 0, position: 0, count: 0 }, payload.length);
  bytes.set(payload, headerBytes);
  return bytes;
}
