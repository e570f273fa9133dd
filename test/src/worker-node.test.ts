import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shardsAtOnce } from '../../src/worker-node.ts';

test('shardsAtOnce knows a shard that has a machine to itself, and how many of the others run at once', () => {
  assert.equal(shardsAtOnce(2, 2), Number.POSITIVE_INFINITY);
  assert.equal(shardsAtOnce(1, 1), Number.POSITIVE_INFINITY);
  assert.equal(shardsAtOnce(1, 2), 2);
  assert.equal(shardsAtOnce(4, 16), 4);
  // No shard takes more than eight.
  assert.equal(shardsAtOnce(8, 16), Number.POSITIVE_INFINITY);
});
