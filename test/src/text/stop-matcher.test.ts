import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createStopMatcher } from '../../../src/text/stop-matcher.ts';

/** Texts per delta; the one that stopped is followed by '|'. */
function run(stops: readonly string[], deltas: readonly string[]): string[] {
  const matcher = createStopMatcher(stops);
  return deltas.map((delta) => {
    const { text, stopped } = matcher.push(delta);
    return stopped ? `${text}|` : text;
  });
}

test('push lets text through at once when nothing can begin a stop string', () => {
  assert.deepEqual(run([], ['a', 'b']), ['a', 'b']);
  assert.deepEqual(run([''], ['a']), ['a']);
  assert.deepEqual(run(['\n\n'], ['ab', 'c']), ['ab', 'c']);
});

test('push trims before a stop string that spans deltas', () => {
  assert.deepEqual(run(['\nUser:'], ['Hello', '.\n', 'Us', 'er', ': more']), ['Hello', '.', '', '', '|']);
  assert.deepEqual(run(['END'], ['xENDy']), ['x|']);
});

test('push gives held text back as soon as it cannot match', () => {
  assert.deepEqual(run(['aab'], ['a', 'a', 'a', 'c', 'aab']), ['', '', 'a', 'aac', '|']);
});

test('push stops at the match that ends first, of those at the longest', () => {
  assert.deepEqual(run(['abcd', 'bc'], ['abc', 'd']), ['a|', '|']);
  assert.deepEqual(run(['abcd', 'bc'], ['abcd']), ['a|']);
  assert.deepEqual(run(['bc', 'abc'], ['xabc']), ['x|']);
});

test('push says stopped, without text, once it has stopped', () => {
  assert.deepEqual(run(['x'], ['ax', 'b', 'c']), ['a|', '|', '|']);
});

test('flush gives what was held back, nothing after a stop', () => {
  const open = createStopMatcher(['abc']);
  open.push('xab');
  assert.equal(open.flush(), 'ab');
  assert.equal(open.flush(), '');
  const stopped = createStopMatcher(['b']);
  stopped.push('ab');
  assert.equal(stopped.flush(), '');
});

test('push never cuts inside a surrogate pair', () => {
  assert.deepEqual(run(['😀😁'], ['😀', '😀', '😂']), ['', '😀', '😀😂']);
  assert.deepEqual(run(['\ude00'], ['😀']), ['😀']);
});

test('push is linear in the text', () => {
  const matcher = createStopMatcher([`${'a'.repeat(1000)}b`]);
  let length = 0;
  for (let i = 0; i < 200; i++) length += matcher.push('a'.repeat(1000)).text.length;
  assert.equal(length + matcher.flush().length, 200_000);
});
