import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MaskRows } from '../../shards/mask-rows.ts';

test('MaskRows gives rows in order, null behind the end of the grammar, and says when none is wanted', () => {
  const rows = MaskRows.create(2, 40, 0);
  const far = MaskRows.over(rows.memory, 40);
  far.write(0, Int32Array.of(5, 6));
  far.write(1, null);
  assert.deepEqual([[...rows.read(0)!], rows.read(1)], [[5, 6], null]);
  assert.equal(far.wanted, true);
  rows.stop();
  assert.equal(far.wanted, false);
});

test('MaskRows keeps what was ready when its maker failed, and wakes a reader that begins to wait in that moment', () => {
  const rows = MaskRows.create(2, 40, 0);
  const far = MaskRows.over(rows.memory, 40);
  far.write(0, Int32Array.of(7, 8));
  const word = new Int32Array(rows.memory);
  const seen = Atomics.load(word, 0);
  far.fail();
  assert.equal(Atomics.wait(word, 0, seen, 5), 'not-equal', 'it looks again');
  assert.deepEqual([...rows.read(0)!], [7, 8]);
  assert.throws(() => rows.read(1), { code: 'engine_failed' });
  assert.equal(rows.late, false);
});
