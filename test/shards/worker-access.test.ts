import assert from 'node:assert/strict';
import { connect } from 'node:http2';
import { test } from 'node:test';
import { createShardClient } from '../../shards/client.ts';
import { systemClock } from '../../shards/clock.ts';
import { ShardError } from '../../shards/errors.ts';
import { createFrameDecoder } from '../../shards/frame.ts';
import { createHopToken, verifyHopToken } from '../../shards/hop-token.ts';
import { silentLog } from '../../shards/log.ts';
import { decodeError } from '../../shards/messages.ts';
import { encodeChainOpen } from '../../shards/open-message.ts';
import { checkAccess } from '../../shards/worker-access.ts';
import { chainIdentity, eventually, startFakeRing, tailOpen } from '../support/fake-ring.ts';

const key = 'a key';
const claim = { session: 's1', from: 'http://10.0.0.1:1', to: 'http://10.0.0.2:2', expiresAtMs: 1000 };

test('verifyHopToken gives back what createHopToken signed, until it expires', () => {
  const token = createHopToken(key, claim);
  assert.deepEqual(verifyHopToken(key, token, 999), claim);
  assert.equal(verifyHopToken(key, token, 1000), null);
  assert.equal(verifyHopToken('another key', token, 0), null);
  for (let i = 0; i < token.length; i++) {
    const forged = token.slice(0, i) + (token[i] === 'A' ? 'B' : 'A') + token.slice(i + 1);
    const read = verifyHopToken(key, forged, 0);
    // The last character of base64 carries spare bits: such a token says the same.
    if (read !== null) assert.deepEqual(read, claim);
  }
  for (const garbage of ['', '.', 'a.b', 'x'.repeat(5000)])
    assert.equal(verifyHopToken(key, garbage, 0), null);
});

test('checkAccess lets a hop token into the forward stream of its own session at its own address, and nowhere else', () => {
  const headers = { authorization: `Hop ${createHopToken(key, claim)}`, ':authority': '10.0.0.2:2' };
  const refused = (run: () => void): void =>
    assert.throws(run, (error) => (error as ShardError).code === 'unauthorized');
  checkAccess(key, headers, { kind: 'forward', session: 's1' }, 0);
  checkAccess(key, headers, { kind: 'manifest' }, 0);
  refused(() => checkAccess(key, headers, { kind: 'forward', session: 's2' }, 0));
  refused(() => checkAccess(key, headers, { kind: 'verdicts' }, 0));
  refused(() => checkAccess(key, headers, { kind: 'probe' }, 0));
  refused(() => checkAccess(key, { ...headers, ':authority': '10.0.0.3:2' }, { kind: 'manifest' }, 0));
  refused(() => checkAccess(key, headers, { kind: 'manifest' }, 2000));
});

test('checkAccess takes the cluster key, and nothing where a key is set', () => {
  checkAccess(key, { authorization: `Bearer ${key}` }, { kind: 'probe' }, 0);
  checkAccess(null, {}, { kind: 'probe' }, 0);
  for (const authorization of ['', 'Bearer', 'Bearer wrong', `bearer ${key}`, `Basic ${key}`, 'Hop x.y']) {
    assert.throws(() => checkAccess(key, { authorization }, { kind: 'probe' }, 0), ShardError);
  }
});

test('startWorker refuses every request without the key', async () => {
  const ring = await startFakeRing({ ranges: [{ start: 0, end: 6 }] });
  const stranger = createShardClient({
    origin: ring.nodes[0]!.worker.origin,
    authorization: () => 'Bearer guess',
    clock: systemClock,
    log: silentLog,
  });
  const unauthorized = (error: unknown): boolean =>
    error instanceof ShardError && error.code === 'unauthorized';
  await assert.rejects(stranger.manifest(), unauthorized);
  await assert.rejects(stranger.health(), unauthorized);
  const codes: string[] = [];
  let closed = 0;
  const handlers = {
    onError: (error: ShardError) => codes.push(error.code),
    onClose: () => closed++,
    onVerdict: () => {},
  };
  stranger.openForward(
    's1',
    { topology: 'chain', route: [], identity: chainIdentity, remainingMs: 1000, adopt: null },
    handlers,
  );
  stranger.openVerdicts('s1', tailOpen, handlers);
  await eventually(() => closed === 2, 'both are refused');
  assert.deepEqual(codes, ['unauthorized', 'unauthorized']);
  assert.equal(ring.nodes[0]!.worker.sessionCount, 0);
  await stranger.close();
  await ring.close();
});

test('startWorker without a key serves a chain without tokens', async () => {
  const ring = await startFakeRing({ clusterKey: null });
  const { manifest, load, draining } = await ring.nodes[0]!.client.status();
  assert.deepEqual(manifest.range, { start: 0, end: 2 });
  assert.equal(load.sessions, 0);
  assert.equal(draining, false);
  assert.deepEqual(await ring.nodes[0]!.client.health(), { status: 'ok', passAgeMs: null });
  await ring.close();
});

/** One plain request to a worker without a key. */
function ask(origin: string, path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const session = connect(origin);
    const stream = session.request({ ':path': path });
    let status = 0;
    let body = '';
    stream.on('response', (headers) => {
      status = Number(headers[':status']);
    });
    stream.setEncoding('utf8').on('data', (chunk) => {
      body += chunk;
    });
    stream.on('end', () => session.close(() => resolve({ status, body })));
    for (const each of [session, stream]) each.on('error', reject);
  });
}

test('startWorker answers 404 where there is nothing', async () => {
  const ring = await startFakeRing({ clusterKey: null });
  const { status, body } = await ask(ring.nodes[0]!.worker.origin, '/v2/shard');
  assert.equal(status, 404);
  assert.match(body, /no such resource: GET \/v2\/shard/);
  await ring.close();
});

test('startWorker does not wait for ever for an engine that says nothing of its load', async () => {
  const ring = await startFakeRing({ clusterKey: null, worker: { limits: { loadWaitMs: 30 } } });
  const { engine, worker } = ring.nodes[0]!;
  engine.load = () => new Promise(() => {});
  for (const path of ['/v1/shard', '/metrics']) {
    const { status, body } = await ask(worker.origin, path);
    assert.equal(status, 503);
    assert.match(body, /busy for 30 ms/);
  }
  assert.equal((await ask(worker.origin, '/health')).status, 200);
  await ring.close();
});

test('startWorker opens nothing for an OPEN that comes after it was waited for', async () => {
  const ring = await startFakeRing({ clusterKey: null, worker: { limits: { graceMs: 30 } } });
  const { worker } = ring.nodes[0]!;
  const session = connect(worker.origin);
  const stream = session.request({ ':method': 'POST', ':path': '/v1/sessions/late/forward' });
  for (const each of [session, stream]) each.on('error', () => {});
  const refusal = createFrameDecoder(0);
  await new Promise<void>((resolve) => {
    stream.on('data', (chunk: Uint8Array) => {
      refusal.push(chunk, (frame) => {
        assert.match(decodeError(frame).error.message, /no OPEN came within 30 ms/);
        resolve();
      });
    });
  });
  const chain = { topology: 'chain', remainingMs: 60_000, adopt: null } as const;
  stream.end(encodeChainOpen({ ...chain, route: ring.routeOf('late'), identity: chainIdentity }));
  await new Promise((resolve) => session.close(() => resolve(null)));
  assert.equal(worker.counters.sessionsOpened, 0);
  await ring.close();
});
