/** The longest common beginning of the same owner, bounded. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPrefixCache } from '../../../src/engine/prefix-cache.ts';

const ids = (count: number, from = 0): number[] => Array.from({ length: count }, (_, i) => from + i);

test('find gives the donor with the longest common beginning', () => {
  const prefixes = createPrefixCache();
  prefixes.add('short', 'ada', ids(41));
  prefixes.add('long', 'ada', ids(81));
  assert.deepEqual(prefixes.find('ada', ids(100)), { donor: 'long', length: 80 });
  assert.deepEqual(prefixes.find('ada', [...ids(50), ...ids(50, 500)]), { donor: 'long', length: 50 });
});

test('find never crosses owners', () => {
  const prefixes = createPrefixCache();
  prefixes.add('a', 'ada', ids(81));
  assert.equal(prefixes.find('bob', ids(100)), null);
});

test('find leaves a token to be run, and nothing that is not worth it', () => {
  const prefixes = createPrefixCache();
  prefixes.add('a', 'ada', ids(81));
  assert.deepEqual(prefixes.find('ada', ids(60)), { donor: 'a', length: 59 });
  assert.equal(prefixes.find('ada', ids(20)), null);
});

test('add forgets the donor that is unused for longest', () => {
  const prefixes = createPrefixCache();
  prefixes.add('first', 'ada', ids(81));
  for (let i = 0; i < 64; i++) prefixes.add(`s${i}`, 'ada', ids(81, 1000 * (i + 1)));
  assert.equal(prefixes.find('ada', ids(81)), null);
  assert.equal(prefixes.find('ada', ids(81, 64_000))?.donor, 's63');
});
