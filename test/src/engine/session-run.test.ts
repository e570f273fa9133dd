/** The life of one session by hand: what it hears when it has left, and that nothing of it goes on when it ends. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { greedy } from '../../../shards/sampler.ts';
import type { Drafter } from '../../../src/drafting/drafter.ts';
import { createNoneDrafter } from '../../../src/drafting/none-drafter.ts';
import { createLatencyModel, idleRing } from '../../../src/engine/latency-model.ts';
import { createOutputLengths } from '../../../src/engine/output-lengths.ts';
import { createOwnerShares } from '../../../src/engine/owner-shares.ts';
import { createPrefixCache } from '../../../src/engine/prefix-cache.ts';
import { Session } from '../../../src/engine/session.ts';
import { SessionRun } from '../../../src/engine/session-run.ts';

/** A session that has been put on a ring which never answers, and what was done to its streams and its drafts. */
function start(draft: Drafter['draft'] = createNoneDrafter().draft) {
  const streams: string[] = [];
  const told: string[] = [];
  const shares = createOwnerShares();
  const session = new Session('s', {
    ...{ promptIds: [1, 2, 3], sampling: greedy, maxTokens: 5, minTokens: 0, ignoreEos: true, eosIds: [] },
    ...{ prediction: null, owner: 'a', signal: new AbortController().signal },
    speculation: { drafter: 'auto', draftLength: 'auto' },
    sink: {
      commit: () => null,
      backlogTokens: () => 0,
      end: (reason) => told.push(reason),
      fail: (error) => told.push(String(error)),
    },
  });
  shares.enter(session.owner);
  const run = new SessionRun(session, 0, {
    ring: {
      stages: () => 1,
      open({ session: name }) {
        streams.push(`${name} opened`);
        const close = (mode: string) => streams.push(`${name} closed: ${mode}`);
        return { forward() {}, linkBytes: () => 0, close };
      },
    },
    drafter: { ...createNoneDrafter(), draft },
    ...{ latency: createLatencyModel(), lengths: createOutputLengths(), shares },
    ...{ prefixes: createPrefixCache({ shared: false }), preDrafting: true },
    ...{ now: () => 0, wake() {}, post() {}, window: () => 1, working: () => 1, underWay: () => idleRing },
  });
  assert.equal(run.open(), null);
  return { run, session, streams, told };
}

test('SessionRun takes no word of a stream that it has left for word of its answer', () => {
  const { run, session, streams } = start();
  run.suspend();
  assert.equal(session.status, 'waiting');
  assert.equal(run.settle({ type: 'error', error: new Error('of the first stream') }), null);
  assert.equal(run.open(), null);
  assert.deepEqual(streams, ['s opened', 's closed: free', 's-1 opened']);
  const error = new Error('of the second');
  assert.deepEqual(run.settle({ type: 'error', error }), { outcome: 'failed', error });
});

test('SessionRun aborts the draft in the making when it leaves the ring and when it ends', () => {
  const signals: AbortSignal[] = [];
  const { run, told, streams } = start((_requests, signal) => {
    signals.push(signal);
    return new Promise(() => {});
  });
  run.suspend();
  run.open();
  assert.deepEqual(
    signals.map(({ aborted }) => aborted),
    [true, false],
  );
  run.end({ outcome: 'cancelled', error: null });
  assert.equal(signals[1]!.aborted, true);
  assert.equal(streams.at(-1), 's-1 closed: free');
  assert.match(told[0]!, /client left/);
});
