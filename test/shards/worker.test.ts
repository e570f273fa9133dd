import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import type { ForwardPass } from '../../shards/engine.ts';
import { ShardError } from '../../shards/errors.ts';
import type { WorkerOptions } from '../../shards/worker.ts';
import { fakeContinuation } from '../support/fake-engine.ts';
import {
  eventually,
  type FakeRing,
  type FakeSession,
  openFakeSession,
  startFakeRing,
} from '../support/fake-ring.ts';

let ring: FakeRing | null = null;
afterEach(async () => {
  await ring?.close();
  ring = null;
});

const prompt = [5, 6, 7, 8];
const u32 = (...ids: number[]): Uint32Array => Uint32Array.from(ids);

/** Plain decoding over the ring: prefill, then one token a round. */
async function decode(session: FakeSession, count: number): Promise<number[]> {
  session.send({ round: 0, position: 0, ids: u32(...prompt.slice(0, 3)), headFrom: 3 });
  const output: number[] = [];
  let last = prompt[3]!;
  for (let round = 1; output.length < count; round++) {
    const verdict = await session.ask({ round, position: 2 + round, ids: u32(last) });
    assert.equal(verdict.position, 3 + round);
    assert.equal(verdict.timings.length, 3);
    last = verdict.ids[0]!;
    output.push(last);
  }
  return output;
}

for (const topology of ['chain', 'star'] as const) {
  test(`startWorker decodes over a ${topology} of three what one engine would say`, async () => {
    ring = await startFakeRing();
    const session = openFakeSession(ring, 's1', { topology });
    assert.deepEqual(await decode(session, 20), fakeContinuation(prompt, 20));
    session.close('keep');
    for (const { engine } of ring.nodes) {
      await eventually(
        () => engine.openSessions.size === 0 && engine.keptSessions.has('s1'),
        'every worker keeps s1',
      );
    }
  });
}

test('startWorker verifies drafts and drops the frames of a dead epoch', async () => {
  ring = await startFakeRing();
  const session = openFakeSession(ring, 's1');
  const [a, b, c, d] = fakeContinuation(prompt, 4) as [number, number, number, number];
  // Three frames in flight: all right, then a wrong guess, then one that builds on it.
  session.send({ round: 0, position: 0, ids: u32(...prompt, a), headFrom: 3 });
  session.send({ round: 1, position: 5, ids: u32(b, c + 1, 9) });
  session.send({ round: 2, position: 8, ids: u32(10, 11) });
  const first = await session.verdict();
  assert.deepEqual([...first.ids], [a, b]);
  assert.equal(first.kind, 'bonus');
  const second = await session.verdict();
  assert.deepEqual([...second.ids], [c]);
  assert.equal(second.kind, 'recovered');
  assert.equal(second.position, 6);
  const third = await session.ask({ epoch: 1, round: 3, position: 6, ids: u32(c, d) });
  assert.deepEqual([...third.ids].slice(0, 1), [d]);
  assert.equal(third.accepted, 1);
  assert.deepEqual(session.errors, []);
  session.close('free');
});

test('startWorker answers rows beyond its cache with gap and its length', async () => {
  ring = await startFakeRing();
  const session = openFakeSession(ring, 's1');
  session.send({ round: 0, position: 0, ids: u32(...prompt), headFrom: 4 });
  session.send({ round: 1, position: 6, ids: u32(1) });
  session.send({ round: 2, position: 7, ids: u32(1) });
  const gap = await session.error();
  assert.equal(gap.code, 'gap');
  assert.deepEqual(gap.detail, { length: 4, epoch: 0, round: 1, hop: 0 });
  const [a] = fakeContinuation(prompt, 1);
  const verdict = await session
    .ask({ epoch: 1, round: 3, position: 3, ids: u32(prompt[3]!) })
    .catch((error) => error);
  // ask() rejects with the first error held; the verdict itself comes all the same.
  assert.ok(verdict instanceof ShardError || verdict.ids[0] === a);
  assert.equal(session.errors.length, 1);
  session.close('free');
});

test('startWorker frees the session on all workers when the client leaves', async () => {
  ring = await startFakeRing();
  const session = openFakeSession(ring, 's1');
  await decode(session, 2);
  assert.deepEqual(
    ring.nodes.map(({ worker }) => worker.sessionCount),
    [1, 1, 1],
  );
  session.close('free');
  for (const { worker, engine } of ring.nodes) {
    await eventually(() => worker.sessionCount === 0 && engine.openSessions.size === 0, 'freed everywhere');
    assert.equal(worker.counters.sessionsFreed, 1);
  }
});

test('startWorker keeps a broken session for its grace, takes it up again, and frees it after', async () => {
  ring = await startFakeRing({ worker: { limits: { graceMs: 150 } } });
  const session = openFakeSession(ring, 's1');
  const said = await decode(session, 3);
  await Promise.all(ring.nodes.map(({ client }) => client.close()));
  assert.equal((await session.error()).code, 'unreachable');
  await eventually(() => ring!.nodes[0]!.worker.sessionCount === 1, 'still held');
  const { gatewayClient } = await import('../support/fake-ring.ts');
  const clients = ring.nodes.map(({ worker }) => gatewayClient(worker.origin, 'cluster key of the tests'));
  const again = openFakeSession(
    { ...ring, nodes: ring.nodes.map((node, i) => ({ ...node, client: clients[i]! })) },
    's1',
  );
  const verdict = await again.ask({ epoch: 1, round: 9, position: 6, ids: u32(said[2]!) });
  assert.deepEqual([...verdict.ids], fakeContinuation(prompt, 4).slice(3));
  assert.equal(ring.nodes[0]!.worker.counters.sessionsOpened, 1);
  await Promise.all(clients.map((client) => client.close()));
  for (const { worker } of ring.nodes) {
    await eventually(() => worker.sessionCount === 0, 'freed after the grace');
  }
});

test('startWorker tells which hop was lost and survives it', async () => {
  ring = await startFakeRing({ worker: { limits: { drainMs: 30 } } });
  const session = openFakeSession(ring, 's1');
  await decode(session, 1);
  await ring.nodes[1]!.worker.close();
  const error = await session.error();
  assert.ok(error.code === 'draining' || error.code === 'unreachable', error.code);
  assert.equal(error.detail['hop'], 1);
  session.close('free');
  await eventually(() => ring!.nodes[0]!.worker.sessionCount === 0, 'freed before the lost hop');
});

test('startWorker adopts the rows of a kept session', async () => {
  ring = await startFakeRing();
  const first = openFakeSession(ring, 's1');
  const said = await decode(first, 2);
  first.close('keep');
  for (const { worker } of ring.nodes) await eventually(() => worker.sessionCount === 0, 'kept');
  const second = openFakeSession(ring, 's2', { open: { adopt: { donor: 's1', length: 4 } } });
  const verdict = await second.ask({ round: 0, position: 4, ids: u32(said[0]!) });
  assert.equal(verdict.ids[0], said[1]);
  second.close('free');
});

test('startWorker ends a session whose time is up', async () => {
  ring = await startFakeRing();
  const session = openFakeSession(ring, 's1', { open: { remainingMs: 40 } });
  assert.equal((await session.error()).code, 'deadline');
  await eventually(() => ring!.nodes.every(({ worker }) => worker.sessionCount === 0), 'freed everywhere');
});

test('startWorker runs verify frames before waiting prefill chunks of other sessions', async () => {
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  ring = await startFakeRing({
    ranges: [{ start: 0, end: 6 }],
    beforePass: (_stage: number, pass: ForwardPass) => (pass.session === 'blocker' ? held : undefined),
  });
  const blocker = openFakeSession(ring, 'blocker');
  blocker.send({ round: 0, position: 0, ids: u32(1), headFrom: 1 });
  const prefill = openFakeSession(ring, 'prefill');
  for (let round = 0; round < 3; round++) prefill.send({ round, position: round, ids: u32(1), headFrom: 1 });
  const verifying = openFakeSession(ring, 'verify');
  verifying.send({ round: 0, position: 0, ids: u32(...prompt), headFrom: 3 });
  await new Promise((resolve) => setTimeout(resolve, 50));
  release();
  await verifying.verdict();
  const order = (): string[] => ring!.nodes[0]!.engine.passes.map(({ session }) => session);
  await eventually(() => order().length === 5, 'all have run');
  assert.ok(order().indexOf('verify') <= 1 + order().indexOf('blocker') + 1);
  for (const session of [blocker, prefill, verifying]) session.close('free');
});

test('startWorker refuses a route of another identity or with a hole', async () => {
  ring = await startFakeRing();
  const stranger = openFakeSession(ring, 's1', {
    open: { identity: { modelSha256: 'b'.repeat(64), quantisation: 'native', fingerprint: 'fake' } },
  });
  assert.equal((await stranger.error()).code, 'identity_mismatch');
  stranger.close('free');
  const holed = openFakeSession(ring, 's2', { open: { route: ring.routeOf('s2').slice(1) } });
  assert.equal((await holed.error()).code, 'bad_request');
  holed.close('free');
  const liar = openFakeSession(ring, 's3', {
    open: {
      route: ring
        .routeOf('s3')
        .map((hop, i, all) => ({ ...hop, origin: all[1 - i]!.origin, token: all[1 - i]!.token })),
    },
  });
  const error = await liar.error();
  assert.equal(error.code, 'identity_mismatch');
  assert.equal(error.detail['hop'], 1);
  liar.close('free');
});

test('startWorker drains: the pass in flight ends, sessions are told, close returns within two seconds', async () => {
  ring = await startFakeRing({
    ranges: [{ start: 0, end: 6 }],
    beforePass: () => new Promise((resolve) => setTimeout(resolve, 60)),
  });
  const session = openFakeSession(ring, 's1');
  session.send({ round: 0, position: 0, ids: u32(...prompt), headFrom: 3 });
  await eventually(() => ring!.nodes[0]!.worker.sessionCount === 1, 'open');
  await new Promise((resolve) => setTimeout(resolve, 20));
  const start = performance.now();
  const closing = ring.nodes[0]!.worker.close();
  const verdict = await session.verdict();
  assert.deepEqual([...verdict.ids], fakeContinuation(prompt, 1));
  assert.equal((await session.error()).code, 'draining');
  await closing;
  assert.ok(performance.now() - start < 2000);
});

/** Sessions a to h, each with its prompt run and its next row waiting behind the pass of a blocker; b fails at its own. */
async function meetBehindBlocker(worker: Partial<WorkerOptions> = {}): Promise<FakeSession[]> {
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  ring = await startFakeRing({
    worker,
    ranges: [{ start: 0, end: 6 }],
    beforePass: (_stage: number, pass: ForwardPass) => {
      if (pass.session === 'blocker') return held;
      if (pass.session === 'b' && pass.position > 0) throw new ShardError('kv_budget', 'no room for b');
      return undefined;
    },
  });
  const sessions = [...'abcdefgh'].map((id) => openFakeSession(ring!, id));
  for (const session of sessions) {
    await session.ask({ round: 0, position: 0, ids: u32(...prompt), headFrom: 3 });
  }
  const [a] = fakeContinuation(prompt, 1);
  const blocker = openFakeSession(ring, 'blocker');
  blocker.send({ round: 0, position: 0, ids: u32(1) });
  const { client } = ring.nodes[0]!;
  while ((await client.health()).passAgeMs === null) await new Promise((resolve) => setTimeout(resolve, 5));
  for (const session of sessions) session.send({ round: 1, position: 4, ids: u32(a!) });
  await new Promise((resolve) => setTimeout(resolve, 150));
  release();
  return sessions;
}

test('startWorker runs frames that wait for one another in one pass, and says so', async () => {
  const sessions = await meetBehindBlocker();
  const failing = sessions[1]!;
  const others = sessions.filter((session) => session !== failing);
  const expected = fakeContinuation(prompt, 2).slice(1);
  const company: number[] = [];
  for (const session of others) {
    const { ids, timings } = await session.verdict();
    assert.deepEqual([...ids], expected);
    assert.equal(timings[0]!.passRows, timings[0]!.passSessions);
    company.push(timings[0]!.passSessions);
  }
  // Half of eight, of which one failed, alone; half of the four that were left; and so on.
  assert.deepEqual(company, [3, 3, 3, 2, 2, 1, 1]);
  assert.equal((await failing.error()).code, 'kv_budget');
  assert.deepEqual(
    others.flatMap(({ errors }) => errors),
    [],
  );
  const { engine, worker, client } = ring!.nodes[0]!;
  assert.deepEqual(engine.passSessions, [1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 2, 1, 1]);
  const { passes, frames, rows } = worker.counters;
  assert.deepEqual([passes, frames, rows], [13, 16, 40]);
  assert.deepEqual(
    [...worker.counters.passesByFrames],
    [
      [1, 11],
      [3, 1],
      [2, 1],
    ],
  );
  const { load } = await client.status();
  assert.deepEqual([load.passes, load.frames], [13, 16]);
  for (const session of sessions) session.close('free');
});

test('startWorker runs each frame alone when it is told to', async () => {
  const sessions = await meetBehindBlocker({ limits: { passSessionsMax: 1 } });
  for (const session of sessions.filter((_, i) => i !== 1)) {
    assert.deepEqual(
      (await session.verdict()).timings.map(({ passRows, passSessions }) => [passRows, passSessions]),
      [[1, 1]],
    );
  }
  assert.ok(ring!.nodes[0]!.engine.passSessions.every((count) => count <= 1));
  for (const session of sessions) session.close('free');
});
