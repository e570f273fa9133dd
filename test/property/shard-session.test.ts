import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createShardSession, type FrameCoordinates } from '../../shards/shard-session.ts';
import type { Verdict } from '../../shards/verify.ts';

const frame = (
  epoch: number,
  round: number,
  position: number,
  ids: number[],
  headFrom = 0,
): FrameCoordinates => ({
  epoch,
  round,
  position,
  headFrom,
  ids: Uint32Array.from(ids),
});

const verdict = (accepted: number, ids: number[], kind: Verdict['kind'], finished = false): Verdict => ({
  accepted,
  ids: Uint32Array.from(ids),
  kind,
  finished,
});

const anyFrame = fc
  .record({
    epoch: fc.integer({ min: 0, max: 4 }),
    round: fc.integer({ min: 0, max: 12 }),
    position: fc.integer({ min: 0, max: 20 }),
    ids: fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 5 }),
    head: fc.nat(),
    seen: fc.nat(),
  })
  .map(({ head, seen, ...rest }) => ({
    ...frame(rest.epoch, rest.round, rest.position, rest.ids, head % (rest.ids.length + 1)),
    seen,
  }));

/** A made-up but well-formed verdict for a frame: `seen` decides how much of the draft was right. */
function verdictOf(of: FrameCoordinates, seen: number): Verdict | null {
  const draft = of.ids.length - of.headFrom - 1;
  if (draft < 0) return null;
  const accepted = seen % (draft + 1);
  const ids = [...of.ids.subarray(of.headFrom + 1, of.headFrom + 1 + accepted), seen % 4];
  return verdict(accepted, ids, accepted < draft ? 'recovered' : 'bonus', seen % 11 === 0);
}

test('createShardSession never runs a frame beyond its rows, nor one at or below the last', () => {
  fc.assert(
    fc.property(fc.array(anyFrame, { maxLength: 40 }), fc.boolean(), (frames, tail) => {
      const session = createShardSession({ tail, length: 0 });
      let last: readonly [epoch: number, round: number] = [-1, -1];
      let dead = -1;
      const going: { epoch: number; position: number; id: number }[] = [];
      for (const next of frames) {
        const before = session.length;
        const decision = session.decide(next);
        if (decision.action !== 'run') {
          assert.equal(session.length, before, 'what does not run changes nothing');
          if (decision.action === 'gap') {
            assert.ok(next.position > before && decision.length === before);
            dead = next.epoch;
          }
          continue;
        }
        assert.ok(next.position <= before);
        assert.ok(next.epoch > last[0] || (next.epoch === last[0] && next.round > last[1]));
        assert.notEqual(next.epoch, dead);
        const expected = going.pop();
        if (tail && expected?.epoch === next.epoch) {
          assert.deepEqual([next.position, next.ids[0]], [expected.position, expected.id]);
        }
        last = [next.epoch, next.round];
        const answer = tail ? verdictOf(next, next.seen) : null;
        session.settle(next, answer);
        if (answer === null) assert.equal(session.length, next.position + next.ids.length);
        else {
          assert.ok(session.length <= next.position + next.ids.length);
          assert.ok(session.length > next.position + next.headFrom);
          if (answer.kind === 'recovered' || answer.finished) dead = next.epoch;
          else going.push({ epoch: next.epoch, position: session.length, id: answer.ids.at(-1)! });
        }
      }
    }),
    { numRuns: 500 },
  );
});

test('createShardSession drops any duplicate of what it has seen', () => {
  fc.assert(
    fc.property(fc.array(anyFrame, { minLength: 1, maxLength: 20 }), (frames) => {
      const session = createShardSession({ tail: false, length: 0 });
      const ran = frames.filter((next) => session.decide(next).action === 'run');
      const { length } = session;
      for (const late of ran) assert.equal(session.decide(late).action, 'drop');
      assert.equal(session.length, length);
    }),
  );
});

test('createShardSession tells a gap once an epoch', () => {
  const session = createShardSession({ tail: false, length: 3 });
  assert.deepEqual(session.decide(frame(1, 1, 4, [1])), { action: 'gap', length: 3 });
  assert.deepEqual(session.decide(frame(1, 2, 5, [1])), { action: 'drop', reason: 'dead' });
  assert.deepEqual(session.decide(frame(2, 3, 3, [1])), { action: 'run' });
});

test('createShardSession at the tail lets an epoch go on only with the token it chose', () => {
  const session = createShardSession({ tail: true, length: 0 });
  const first = frame(0, 0, 0, [5, 6, 7], 1);
  assert.equal(session.decide(first).action, 'run');
  session.settle(first, verdict(1, [7, 9], 'bonus'));
  assert.equal(session.length, 3);
  assert.deepEqual(session.decide(frame(0, 1, 3, [8])), { action: 'drop', reason: 'dead' });
  assert.deepEqual(session.decide(frame(0, 2, 3, [9])), { action: 'drop', reason: 'dead' });
  assert.equal(session.decide(frame(1, 3, 3, [9])).action, 'run');
});

test('createShardSession at the tail asks nothing of the frame behind a prefill', () => {
  const session = createShardSession({ tail: true, length: 0 });
  const prefill = frame(0, 0, 0, [1, 2], 2);
  assert.equal(session.decide(prefill).action, 'run');
  session.settle(prefill, null);
  assert.equal(session.decide(frame(0, 1, 2, [77])).action, 'run');
});

test('createShardSession lets nothing follow the end of an answer in its epoch', () => {
  const session = createShardSession({ tail: true, length: 0 });
  const first = frame(0, 0, 0, [1, 2]);
  session.decide(first);
  session.settle(first, verdict(1, [2], 'bonus', true));
  assert.equal(session.length, 2);
  assert.equal(session.decide(frame(0, 1, 2, [2])).action, 'drop');
});

test('createShardSession shortens to what the engine holds', () => {
  const session = createShardSession({ tail: false, length: 9 });
  const next = frame(0, 0, 9, [1]);
  session.decide(next);
  session.shorten(next, 4);
  assert.equal(session.length, 4);
  assert.equal(session.decide(frame(0, 1, 4, [1])).action, 'drop');
  assert.equal(session.decide(frame(1, 2, 4, [1])).action, 'run');
});
