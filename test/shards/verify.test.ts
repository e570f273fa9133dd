/** Verification commits exactly what plain decoding would, whatever the draft. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { verify } from '../../shards/verify.ts';

const target = [5, 3, 8, 1, 9, 2];
const chooseAt = (row: number): number => target[row]!;
const run = (draft: number[], eosIds: number[] = []) =>
  verify({ draft: Uint32Array.from(draft), chooseAt, eosIds });

test('verify without a draft commits the one token of plain decoding', () => {
  assert.deepEqual(run([]), { accepted: 0, ids: Uint32Array.of(5), kind: 'bonus', finished: false });
});

test('verify commits the recovered token at the first mismatch', () => {
  assert.deepEqual(run([5, 4, 8]), {
    accepted: 1,
    ids: Uint32Array.of(5, 3),
    kind: 'recovered',
    finished: false,
  });
});

test('verify adds a bonus token to a fully right draft', () => {
  assert.deepEqual(run([5, 3]), {
    accepted: 2,
    ids: Uint32Array.of(5, 3, 8),
    kind: 'bonus',
    finished: false,
  });
});

test('verify ends at an accepted eos without a bonus', () => {
  assert.deepEqual(run([5, 3, 8], [3]), {
    accepted: 2,
    ids: Uint32Array.of(5, 3),
    kind: 'bonus',
    finished: true,
  });
});

test('verify ends at a recovered eos', () => {
  assert.deepEqual(run([7], [5]), { accepted: 0, ids: Uint32Array.of(5), kind: 'recovered', finished: true });
});

test('verify never asks a row beyond the first mismatch and commits a prefix of plain decoding', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(9), { maxLength: 5 }), (draft) => {
      const asked: number[] = [];
      const verdict = verify({
        draft: Uint32Array.from(draft),
        chooseAt: (row) => {
          asked.push(row);
          return target[row]!;
        },
        eosIds: [],
      });
      assert.deepEqual([...verdict.ids], target.slice(0, verdict.accepted + 1));
      assert.deepEqual(asked, [...verdict.ids.keys()]);
    }),
  );
});
