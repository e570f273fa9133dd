import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kvBytesPerPosition } from '../../shards/kv-cache.ts';
import { KvStore } from '../../shards/kv-store.ts';

const shape = { layers: 1, kvHeads: 1, headDim: 4 };
const perPosition = kvBytesPerPosition(shape);
/** A store in which `caches` caches of the smallest size fit. */
const storeOf = (caches: number): KvStore =>
  new KvStore({ shape, bytesMax: caches * 64 * perPosition, positionsMax: 1000 });

function openFull(store: KvStore, session: string, positions = 64): void {
  store.open(session);
  store.reserve(session, positions);
  const rows = Float32Array.from({ length: 2 * positions * 4 }, (_, i) => i);
  store.get(session).append(rows, positions, positions);
}

test('KvStore.get knows open sessions only', () => {
  const store = storeOf(2);
  assert.throws(() => store.get('a'), { code: 'unknown_session' });
  store.open('a');
  assert.equal(store.get('a').length, 0);
  store.keep('a');
  assert.throws(() => store.get('a'), { code: 'unknown_session' });
});

test('KvStore evicts the cache that is idle for longest', () => {
  const store = storeOf(3);
  for (const name of ['a', 'b', 'c']) openFull(store, name);
  store.keep('b');
  store.keep('a');
  openFull(store, 'd');
  assert.throws(() => store.adopt('e', 'b', 1), { code: 'unknown_session' });
  store.adopt('a', 'a', 10);
  assert.equal(store.get('a').length, 10);
  assert.equal(store.bytes, 3 * 64 * perPosition);
});

test('KvStore throws kv_budget with numbers when all is in use', () => {
  const store = storeOf(2);
  openFull(store, 'a');
  openFull(store, 'b');
  store.open('c');
  const detail = { needed: perPosition, used: 128 * perPosition, max: 128 * perPosition };
  assert.throws(() => store.reserve('c', 1), { code: 'kv_budget', detail });
  assert.equal(store.get('a').length, 64);
});

test('KvStore grows by what is needed where a step breaks the budget', () => {
  const store = new KvStore({ shape, bytesMax: 70 * perPosition, positionsMax: 1000 });
  openFull(store, 'a', 70);
  assert.equal(store.get('a').capacity, 70);
});

test('KvStore never reserves beyond the context', () => {
  const store = new KvStore({ shape, bytesMax: 1e6, positionsMax: 100 });
  openFull(store, 'a', 70);
  assert.equal(store.get('a').capacity, 100);
});

test('KvStore.adopt copies what the donor holds and leaves the donor whole', () => {
  const store = storeOf(3);
  openFull(store, 'a');
  store.keep('a');
  store.adopt('b', 'a', 1000);
  assert.equal(store.get('b').length, 64);
  store.adopt('c', 'a', 5);
  assert.equal(store.get('c').length, 5);
  assert.deepEqual(store.get('c').buffers[1]!.subarray(0, 20), store.get('b').buffers[1]!.subarray(0, 20));
});

test('KvStore.adopt lets an idle donor go where both do not fit, and others before it', () => {
  const store = storeOf(2);
  for (const name of ['a', 'b']) {
    openFull(store, name);
    store.keep(name);
  }
  store.adopt('c', 'a', 5);
  assert.deepEqual([store.holds('a'), store.holds('b'), store.get('c').length], [true, false, 5]);
  const tight = storeOf(1);
  openFull(tight, 'a');
  tight.keep('a');
  tight.adopt('b', 'a', 5);
  assert.deepEqual([tight.holds('a'), tight.get('b').length], [false, 5]);
  assert.ok(tight.bytes <= 64 * perPosition);
});

test('KvStore.adopt takes nothing from a donor that is in use', () => {
  const store = storeOf(1);
  openFull(store, 'a');
  assert.throws(() => store.adopt('b', 'a', 5), { code: 'kv_budget' });
  assert.equal(store.get('a').length, 64);
});

test('KvStore.free gives memory back', () => {
  const store = storeOf(1);
  openFull(store, 'a');
  store.free('a');
  assert.equal(store.bytes, 0);
  store.free('unknown');
});
