/** Followers always stand where a plain replay of the told ids would have put them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type HistoryFollower, TokenHistory } from '../../shards/token-history.ts';

/** Keeps what it was told, and checks every position. */
function scribe(): HistoryFollower & { readonly ids: number[] } {
  const ids: number[] = [];
  return {
    ids,
    push(id, position) {
      assert.equal(position, ids.length);
      ids.push(id);
    },
    pop(id, position) {
      assert.equal(position, ids.length - 1);
      assert.equal(ids.pop(), id);
    },
  };
}

test('TokenHistory keeps followers on a prefix of what is held, whatever is written and told', () => {
  const operation = fc.record({ at: fc.nat(), ids: fc.array(fc.nat(9), { maxLength: 6 }), tell: fc.nat() });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 30 }), (operations) => {
      const history = new TokenHistory();
      const follower = scribe();
      history.follow([follower]);
      let held: number[] = [];
      for (const { at, ids, tell } of operations) {
        const position = at % (held.length + 1);
        history.write(position, ids);
        held = [...held.slice(0, position), ...ids];
        assert.deepEqual(follower.ids, held.slice(0, follower.ids.length));
        const length = tell % (held.length + 1);
        history.tell(length);
        assert.deepEqual(follower.ids, held.slice(0, length));
        assert.deepEqual(history.head(held.length), held);
      }
      const late = scribe();
      history.follow([late]);
      history.tell(held.length);
      assert.deepEqual(late.ids, held);
    }),
  );
});

test('TokenHistory.write refuses a gap', () => {
  assert.throws(() => new TokenHistory().write(1, [2]), RangeError);
});
