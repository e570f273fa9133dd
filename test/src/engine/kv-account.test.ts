/** Sessions are let in while all of them fit at their longest. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { kvRoomOf } from '../../../shards/kv-room.ts';
import { createKvAccount } from '../../../src/engine/kv-account.ts';

test('take counts the room that caches take, until it is given back', () => {
  const account = createKvAccount(() => 256);
  assert.equal(account.take('a', 65), true); // 128
  assert.equal(account.take('b', 100), true); // 128
  assert.equal(account.take('c', 1), false);
  assert.equal(account.take('a', 65), true, 'its own room is taken once');
  account.give('b');
  account.give('b');
  assert.equal(account.take('c', 64), true);
  assert.equal(account.take('d', 64), true);
  assert.equal(account.take('e', 1), false);
});

test('a session alone is let in, whatever it takes', () => {
  const account = createKvAccount(() => 100);
  assert.equal(account.take('a', 100), true);
  assert.equal(account.take('b', 1), false);
  account.give('a');
  assert.equal(account.take('b', 1), true);
});

test('room never shrinks with more positions, and is at most a step or a sixteenth more', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1 << 20 }), (length) => {
      const room = kvRoomOf(length);
      assert.ok(room >= length && room - length < Math.max(64, length / 16));
      assert.ok(kvRoomOf(length + 1) >= room);
    }),
  );
});
