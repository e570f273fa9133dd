import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPassShare } from '../../shards/pass-share.ts';

test('createPassShare takes half of what waits while the stage has pauses, at most its share of the sessions', () => {
  const share = createPassShare(0);
  assert.equal(share.sessionsMax({ waiting: 1, open: 8, stages: 1 }), 1);
  assert.equal(share.sessionsMax({ waiting: 8, open: 8, stages: 1 }), 4);
  assert.equal(share.sessionsMax({ waiting: 8, open: 8, stages: 4 }), 2);
  assert.equal(share.sessionsMax({ waiting: 3, open: 3, stages: 4 }), 1);
});

test('createPassShare takes the whole share where the ring waits for the stage, until it has pauses again', () => {
  const share = createPassShare(0);
  for (let pass = 0; pass < 40; pass++) share.observe(10 * pass, 10 * pass + 10);
  assert.equal(share.sessionsMax({ waiting: 2, open: 16, stages: 4 }), 4);
  assert.equal(share.sessionsMax({ waiting: 8, open: 8, stages: 1 }), 8);
  for (let pass = 0; pass < 5; pass++) share.observe(400 + 20 * pass, 410 + 20 * pass);
  assert.equal(share.sessionsMax({ waiting: 2, open: 16, stages: 4 }), 1);
});

test('createPassShare makes as many blocks as stages that can work at once, of all that waits', () => {
  const share = createPassShare(0, 2);
  assert.equal(share.sessionsMax({ waiting: 2, open: 8, stages: 4 }), 4);
  assert.equal(share.sessionsMax({ waiting: 1, open: 2, stages: 4 }), 1);
  // As many as the ring has are no shortage.
  assert.equal(share.sessionsMax({ waiting: 2, open: 8, stages: 2 }), 1);
});
