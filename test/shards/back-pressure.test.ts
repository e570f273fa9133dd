import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import type { ForwardPass } from '../../shards/engine.ts';
import { fakeContinuation } from '../support/fake-engine.ts';
import { eventually, type FakeRing, openFakeSession, startFakeRing } from '../support/fake-ring.ts';

let ring: FakeRing | null = null;
afterEach(async () => {
  await ring?.close();
  ring = null;
});

const prompt = Array.from({ length: 2000 }, (_, i) => (i * 7) % 1000);

test('a stage that stands still holds its senders back within limits, and other sessions go on', async () => {
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  ring = await startFakeRing({
    worker: { limits: { sessionFramesMax: 4 } },
    beforePass: (stage: number, pass: ForwardPass) =>
      stage === 1 && pass.session === 'slow' ? held : undefined,
  });
  const slow = openFakeSession(ring, 'slow');
  for (let at = 0; at < prompt.length - 10; at += 10) {
    slow.send({ round: at, position: at, ids: Uint32Array.from(prompt.slice(at, at + 10)), headFrom: 10 });
  }
  await eventually(() => ring!.nodes[0]!.engine.passes.length > 20, 'the first stage goes on');
  release();
  const verdict = await slow.ask({
    round: prompt.length,
    position: prompt.length - 10,
    ids: Uint32Array.from(prompt.slice(-10)),
    headFrom: 9,
  });
  assert.deepEqual([...verdict.ids], fakeContinuation(prompt, 1));
  assert.equal(ring.nodes[2]!.engine.passes.length, 200);
  slow.close('free');
});

test('close frees everywhere at once, even behind frames that a worker has not read', async () => {
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  ring = await startFakeRing({
    worker: { limits: { sessionFramesMax: 2 } },
    beforePass: (stage: number) => (stage === 0 ? held : undefined),
  });
  const session = openFakeSession(ring, 's1');
  const ids = new Uint32Array(512).fill(1);
  for (let round = 0; round < 4000; round++) session.send({ round, position: 0, ids, headFrom: 512 });
  const { worker } = ring.nodes[0]!;
  await eventually(
    () => worker.sessionCount === 1 && session.forwards[0]!.bufferedBytes > 0,
    'it is held back',
  );
  session.close('free');
  for (const node of ring.nodes) await eventually(() => node.worker.sessionCount === 0, 'freed');
  release();
  assert.deepEqual(session.errors, []);
});

test('many sessions at once over one connection stay apart', async () => {
  ring = await startFakeRing();
  const run = async (index: number): Promise<void> => {
    const session = openFakeSession(ring!, `s${index}`);
    const start = [index, index + 1, 3];
    const wanted = fakeContinuation(start, 12);
    let ids = start;
    for (let round = 0; round < 12; round++) {
      const position = round === 0 ? 0 : start.length + round - 1;
      const verdict = await session.ask({
        round,
        position,
        ids: Uint32Array.from(ids),
        headFrom: ids.length - 1,
      });
      assert.equal(verdict.ids[0], wanted[round]);
      ids = [verdict.ids[0]!];
    }
    session.close(index % 2 === 0 ? 'free' : 'keep');
  };
  await Promise.all(Array.from({ length: 40 }, (_, index) => run(index)));
  for (const { worker, engine } of ring.nodes) {
    await eventually(() => worker.sessionCount === 0 && engine.openSessions.size === 0, 'all have ended');
    assert.equal(engine.keptSessions.size, 20);
  }
});
