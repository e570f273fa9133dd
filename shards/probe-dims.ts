/**
 * Dimensions of the fingerprint graph (src/models/probe-graph.ts makes it, probe.ts runs it): the same on every
 * machine, whatever model and range it serves.
 */
import type { ModelDims } from './manifest.ts';

/** Small enough for 600 rows in some 100 ms, with two query heads per key/value head and the usual head size. */
export const probeDims: ModelDims = {
  architecture: 'llama',
  layers: 3,
  hidden: 128,
  heads: 4,
  kvHeads: 2,
  headDim: 64,
  ffn: 256,
  vocab: 512,
  contextLength: 640,
  ropeTheta: 10_000,
  rmsEpsilon: 1e-5,
};
