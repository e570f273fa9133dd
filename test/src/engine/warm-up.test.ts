import assert from 'node:assert/strict';
import { test } from 'node:test';
import { warmUp } from '../../../src/engine/warm-up.ts';
import { createSimRing } from '../../support/sim-ring.ts';

test('warmUp sends one token around and leaves no session open', async () => {
  const ring = createSimRing({ vocab: 10, random: () => 0.5 });
  await warmUp(ring, 'warm');
  assert.equal(ring.openSessions(), 0);
  assert.equal(ring.counts.ran, 1);
});

test('warmUp says what the ring fails with', async () => {
  const ring = createSimRing({ vocab: 10, random: () => 0.5 });
  const failing: typeof ring = {
    ...ring,
    open(options, handlers) {
      setImmediate(() => handlers.onError(new Error('lost')));
      return ring.open(options, { ...handlers, onVerdict() {} });
    },
  };
  await assert.rejects(warmUp(failing, 'warm'), /lost/);
  assert.equal(ring.openSessions(), 0, 'what failed is closed as well');
});
