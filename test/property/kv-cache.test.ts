/** Cache laws: whatever was appended and truncated, a cache holds exactly the rows of its current sequence. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { KvCache, type KvShape } from '../../shards/kv-cache.ts';

type Step =
  | { readonly kind: 'append'; readonly rows: number; readonly spare: number }
  | { readonly kind: 'truncate'; readonly length: number }
  | { readonly kind: 'grow'; readonly extra: number }
  | { readonly kind: 'copy'; readonly length: number };

const steps = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant('append' as const),
      rows: fc.integer({ min: 1, max: 5 }),
      spare: fc.nat(2),
    }),
    fc.record({ kind: fc.constant('truncate' as const), length: fc.nat(12) }),
    fc.record({ kind: fc.constant('grow' as const), extra: fc.nat(4) }),
    fc.record({ kind: fc.constant('copy' as const), length: fc.nat(12) }),
  ),
  { maxLength: 20 },
);
const shapes = fc.record({
  layers: fc.integer({ min: 1, max: 3 }),
  kvHeads: fc.integer({ min: 1, max: 3 }),
  headDim: fc.integer({ min: 1, max: 4 }),
});

/** newkv of a pass whose row r has the tag first + r; rows beyond `rows` are padding. */
function newRows(
  { layers, kvHeads, headDim }: KvShape,
  first: number,
  rows: number,
  spare: number,
): Float32Array {
  const passRows = rows + spare;
  const all = new Float32Array(2 * layers * kvHeads * passRows * headDim);
  for (let i = 0; i < all.length; i++) {
    const row = Math.floor(i / headDim) % passRows;
    const plane = Math.floor(i / headDim / passRows);
    all[i] = row < rows ? tag(first + row, plane, i % headDim) : -1;
  }
  return all;
}

const tag = (row: number, plane: number, d: number): number => row * 1000 + plane * 10 + d;

function assertHolds(cache: KvCache, rows: readonly number[]): void {
  const { kvHeads, headDim } = cache.shape;
  assert.equal(cache.length, rows.length);
  cache.buffers.forEach((buffer, index) => {
    assert.equal(buffer.length, kvHeads * cache.capacity * headDim);
    for (let head = 0; head < kvHeads; head++) {
      rows.forEach((row, at) => {
        const found = buffer[(head * cache.capacity + at) * headDim + headDim - 1];
        assert.equal(found, tag(row, index * kvHeads + head, headDim - 1));
      });
    }
  });
}

function follow(shape: KvShape, script: readonly Step[]): void {
  let cache = new KvCache(shape);
  let rows: number[] = [];
  let next = 0;
  for (const step of script) {
    if (step.kind === 'append') {
      cache.grow(cache.length + step.rows);
      cache.append(newRows(shape, next, step.rows, step.spare), step.rows, step.rows + step.spare);
      for (let i = 0; i < step.rows; i++) rows.push(next++);
    } else if (step.kind === 'truncate') {
      cache.truncate(step.length);
      rows = rows.slice(0, step.length);
    } else if (step.kind === 'grow') {
      cache.grow(cache.capacity + step.extra);
    } else {
      const copy = new KvCache(shape);
      copy.grow(cache.capacity + 1);
      copy.copyFrom(cache, Math.min(step.length, cache.length));
      cache = copy;
      rows = rows.slice(0, step.length);
    }
    assertHolds(cache, rows);
  }
}

test('KvCache holds the rows of its sequence after any script', () => {
  fc.assert(fc.property(shapes, steps, follow));
});

test('KvCache after truncate(n) goes on as one that never grew past n', () => {
  fc.assert(
    fc.property(shapes, steps, fc.nat(6), (shape, script, length) => {
      follow(shape, [...script, { kind: 'truncate', length }, { kind: 'append', rows: 3, spare: 1 }]);
    }),
  );
});
