import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPassQueue, type PassQueue, type QueuedPass } from '../../shards/pass-queue.ts';

const limits = {
  sessionFramesMax: 3,
  sessionBytesMax: 1000,
  prefillWaitMaxMs: 100,
  passRowsMax: 8,
  sharedRowsMax: 4,
};
const always = (_session: string): boolean => true;

function push(
  queue: PassQueue,
  session: string,
  arrivedMs: number,
  options: { epoch?: number; round?: number; prefill?: boolean; bytes?: number; rows?: number } = {},
): number {
  const { epoch = 0, round = arrivedMs, prefill = false, bytes = 10, rows = 1 } = options;
  const message = {
    epoch,
    round,
    position: 0,
    headFrom: prefill ? rows : 0,
    ids: new Uint32Array(rows),
    hidden: null,
    timings: [],
  };
  return queue.push({ session, message, bytes, arrivedMs });
}

function drain(queue: PassQueue, nowMs = 0): string[] {
  const order: string[] = [];
  for (let pass = queue.next(always, nowMs); pass !== null; pass = queue.next(always, nowMs)) {
    order.push(`${pass.session}${pass.message.round}`);
  }
  return order;
}

test('createPassQueue lets verify frames pass prefill of others, never of their own session', () => {
  const queue = createPassQueue(limits);
  push(queue, 'a', 1, { prefill: true });
  push(queue, 'a', 2);
  push(queue, 'b', 3);
  push(queue, 'c', 4);
  assert.deepEqual(drain(queue), ['b3', 'c4', 'a1', 'a2']);
});

test('createPassQueue gives a prefill chunk its turn once it has waited long enough', () => {
  const queue = createPassQueue(limits);
  push(queue, 'a', 1, { prefill: true });
  push(queue, 'b', 3);
  assert.deepEqual(drain(queue, 101), ['a1', 'b3']);
});

test('createPassQueue never lets a second chunk go before a verify frame that has waited for one', () => {
  const queue = createPassQueue(limits);
  // A long prompt: all chunks are there at once, and become old together.
  for (let round = 1; round <= 6; round++) push(queue, 'a', 0, { prefill: true, round });
  // Passes of 10 ms, and verify frames of three sessions that come back 15 ms behind theirs.
  const dueMs = new Map([...'bcd'].map((session, i) => [session, 200 + i]));
  const chunksBefore = new Map<string, number>();
  let order = '';
  for (let nowMs = 205; nowMs < 405; nowMs += 10) {
    for (const [session, atMs] of dueMs) {
      if (atMs > nowMs) continue;
      push(queue, session, atMs);
      chunksBefore.set(session, order.at(-1) === 'a' ? 1 : 0);
      dueMs.delete(session);
    }
    const { session } = queue.next(always, nowMs)!;
    order += session;
    if (session === 'a') for (const [waits, count] of chunksBefore) chunksBefore.set(waits, count + 1);
    else {
      assert.ok(chunksBefore.get(session)! <= 1, `${session} has waited for two chunks: ${order}`);
      chunksBefore.delete(session);
      dueMs.set(session, nowMs + 25);
    }
  }
  assert.equal(order.replaceAll(/[^a]/g, '').length, 6, `the prompt stands still: ${order}`);
});

/** What goes into one pass, as a worker would take it. */
function takePass(queue: PassQueue, nowMs = 0, mayRun = always): string[] {
  const company: QueuedPass[] = [];
  for (let pass = queue.next(mayRun, nowMs); pass !== null; pass = queue.next(mayRun, nowMs, company)) {
    company.push(pass);
  }
  return company.map(({ session, message }) => `${session}${message.round}`);
}

test('createPassQueue gives one pass a frame of each session, in order of arrival', () => {
  const queue = createPassQueue(limits);
  push(queue, 'b', 1);
  push(queue, 'a', 2);
  push(queue, 'a', 3);
  push(queue, 'c', 4);
  assert.deepEqual(
    takePass(queue, 0, (session) => session !== 'c'),
    ['b1', 'a2'],
  );
  assert.deepEqual(takePass(queue), ['a3', 'c4']);
});

test('createPassQueue fills a pass up to its rows, and leaves long frames to themselves', () => {
  const queue = createPassQueue(limits);
  push(queue, 'a', 1, { rows: 4 });
  push(queue, 'b', 2, { rows: 3 });
  push(queue, 'c', 3, { rows: 2 });
  push(queue, 'd', 4, { rows: 1 });
  assert.deepEqual(takePass(queue), ['a1', 'b2', 'd4']);
  push(queue, 'e', 5, { rows: 5 });
  push(queue, 'f', 6);
  assert.deepEqual(takePass(queue), ['c3', 'f6']);
  push(queue, 'g', 7);
  assert.deepEqual(takePass(queue), ['e5']);
  assert.deepEqual(takePass(queue), ['g7']);
});

test('createPassQueue never mixes verify frames with prefill', () => {
  const queue = createPassQueue(limits);
  push(queue, 'a', 1, { prefill: true });
  push(queue, 'b', 2);
  push(queue, 'c', 3, { prefill: true });
  push(queue, 'd', 4);
  assert.deepEqual(takePass(queue), ['b2', 'd4']);
  push(queue, 'e', 5);
  assert.deepEqual(takePass(queue, 101), ['a1', 'c3']);
  assert.deepEqual(takePass(queue, 101), ['e5']);
});

test('createPassQueue throws out what a newer epoch has overtaken, of that session alone', () => {
  const queue = createPassQueue(limits);
  push(queue, 'a', 1);
  push(queue, 'a', 2);
  push(queue, 'b', 3);
  assert.equal(push(queue, 'a', 4, { epoch: 1 }), 2);
  assert.equal(queue.frames, 2);
  assert.equal(queue.bytes, 20);
  assert.deepEqual(drain(queue), ['b3', 'a4']);
  assert.equal(queue.bytes, 0);
});

test('createPassQueue skips sessions that may not run and drops those that have ended', () => {
  const queue = createPassQueue(limits);
  push(queue, 'a', 1);
  push(queue, 'b', 2);
  assert.equal(queue.next((session) => session === 'b', 0)?.session, 'b');
  assert.equal(
    queue.next((session) => session === 'b', 0),
    null,
  );
  assert.equal(queue.drop('a'), 1);
  assert.equal(queue.drop('a'), 0);
  assert.deepEqual([queue.frames, queue.bytes], [0, 0]);
});

test('createPassQueue is full for a session at its frames or its bytes', () => {
  const queue = createPassQueue(limits);
  for (const at of [1, 2]) push(queue, 'a', at);
  assert.equal(queue.isFull('a'), false);
  push(queue, 'a', 3);
  assert.equal(queue.isFull('a'), true);
  push(queue, 'b', 4, { bytes: 1000 });
  assert.equal(queue.isFull('b'), true);
  assert.equal(queue.isFull('c'), false);
});
