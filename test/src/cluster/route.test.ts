import assert from 'node:assert/strict';
import { test } from 'node:test';
import { protocolVersion } from '../../../shards/frame.ts';
import type { Identity, ShardManifest } from '../../../shards/manifest.ts';
import { planRoute as plan, RouteError, type RouteRules } from '../../../src/cluster/route.ts';

const identity: Identity = {
  modelSha256: 'a'.repeat(64),
  quantisation: 'native',
  rotary: 'half',
  padAttention: true,
  flashAttention: false,
  runtime: 'onnxruntime-node 1.30.0',
  wire: 'f32',
  fingerprint: 'f'.repeat(64),
};

function member(port: number, start: number, end: number, part: Partial<ShardManifest> = {}) {
  const manifest: ShardManifest = {
    protocol: protocolVersion,
    modelName: 'tiny',
    dims: {
      architecture: 'llama',
      layers: 6,
      hidden: 64,
      heads: 4,
      kvHeads: 2,
      headDim: 16,
      ffn: 96,
      vocab: 300,
      contextLength: 512,
      ropeTheta: 10000,
      rmsEpsilon: 1e-5,
    },
    range: { start, end },
    identity,
    invariant: true,
    kvBytesPerPosition: 512,
    ...part,
  };
  return { origin: `http://127.0.0.1:${port}`, manifest };
}

const planRoute = (members: ReturnType<typeof member>[], rules: Partial<RouteRules> = {}) =>
  plan(members, { modelSha256: null, allowVariant: false, ...rules });

const refused = (pattern: RegExp) => (error: unknown) =>
  error instanceof RouteError && pattern.test(error.message);

test('planRoute orders workers by their ranges', () => {
  const route = planRoute([member(3, 4, 6), member(1, 0, 2), member(2, 2, 4)]);
  assert.deepEqual(
    route.map(({ manifest }) => manifest.range.start),
    [0, 2, 4],
  );
});

test('planRoute names the missing layers', () => {
  assert.throws(() => planRoute([member(1, 0, 2), member(2, 4, 6)]), refused(/\[2, 4\).*--layers 2:4/));
  assert.throws(() => planRoute([member(1, 1, 6)]), refused(/--layers 0:1/));
  assert.throws(() => planRoute([member(1, 0, 5)]), refused(/--layers 5:6/));
  assert.throws(() => planRoute([]), refused(/No workers/));
});

test('planRoute names the worker that overlaps', () => {
  assert.throws(() => planRoute([member(1, 0, 4), member(2, 3, 6)]), refused(/:2 serves layers \[3, 6\)/));
});

test('planRoute names the worker and the field that differ', () => {
  const other = member(2, 3, 6, { identity: { ...identity, modelSha256: 'b'.repeat(64) } });
  assert.throws(() => planRoute([member(1, 0, 3), other]), refused(/:2 differs .* modelSha256/));
});

test('planRoute refuses a worker without proof of invariance unless told', () => {
  const members = [member(1, 0, 3), member(2, 3, 6, { invariant: false })];
  assert.throws(() => planRoute(members), refused(/:2 failed its start-up proof/));
  assert.equal(planRoute(members, { allowVariant: true }).length, 2);
});

test('planRoute refuses workers of another file than the gateway has', () => {
  const members = [member(1, 0, 3), member(2, 3, 6)];
  assert.equal(planRoute(members, { modelSha256: 'a'.repeat(64) }).length, 2);
  assert.throws(
    () => planRoute(members, { modelSha256: 'b'.repeat(64) }),
    refused(/:1 serves another file .*same --model/),
  );
});
