/** The longest common beginning of the same owner, bounded; and whose prefill is worth waiting for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPrefixCache, type PrefixCache } from '../../../src/engine/prefix-cache.ts';

const ids = (count: number, from = 0): number[] => Array.from({ length: count }, (_, i) => from + i);
const isolated = (): PrefixCache => createPrefixCache({ shared: false });

/** A session that ran and ended with these tokens. */
function addKept(prefixes: PrefixCache, session: string, owner: string, tokens: readonly number[]): void {
  prefixes.begin(session, owner, tokens.slice(0, 1), 0);
  prefixes.ready(session);
  prefixes.keep(session, tokens);
}

test('find gives the donor with the longest common beginning', () => {
  const prefixes = isolated();
  addKept(prefixes, 'short', 'ada', ids(41));
  addKept(prefixes, 'long', 'ada', ids(81));
  assert.deepEqual(prefixes.find('ada', ids(100)), { donor: 'long', length: 80 });
  assert.deepEqual(prefixes.find('ada', [...ids(50), ...ids(50, 500)]), { donor: 'long', length: 50 });
});

test('find never crosses owners, unless they share', () => {
  for (const shared of [false, true]) {
    const prefixes = createPrefixCache({ shared });
    addKept(prefixes, 'a', 'ada', ids(81));
    prefixes.begin('b', 'ada', ids(81, 500), 0);
    assert.equal(prefixes.find('bob', ids(100))?.donor ?? null, shared ? 'a' : null);
    assert.equal(prefixes.awaited('bob', ids(100, 500)), shared ? 'b' : null);
  }
});

test('find leaves a token to be run, and nothing that is not worth it', () => {
  const prefixes = isolated();
  addKept(prefixes, 'a', 'ada', ids(81));
  assert.deepEqual(prefixes.find('ada', ids(60)), { donor: 'a', length: 59 });
  assert.equal(prefixes.find('ada', ids(20)), null);
});

test('a running session gives its prompt once it is through the ring, until its caches are gone', () => {
  const prefixes = isolated();
  prefixes.begin('a', 'ada', ids(81), 0);
  assert.equal(prefixes.find('ada', ids(100)), null);
  prefixes.ready('a');
  assert.deepEqual(prefixes.find('ada', ids(100)), { donor: 'a', length: 81 });
  prefixes.drop('a');
  assert.equal(prefixes.find('ada', ids(100)), null);
});

test('keep forgets the donor that is unused for longest', () => {
  const prefixes = isolated();
  addKept(prefixes, 'first', 'ada', ids(81));
  for (let i = 0; i < 64; i++) addKept(prefixes, `s${i}`, 'ada', ids(81, 1000 * (i + 1)));
  assert.equal(prefixes.find('ada', ids(81)), null);
  assert.equal(prefixes.find('ada', ids(81, 64_000))?.donor, 's63');
});

test('a prompt waits for the prefill that makes most of its rows', () => {
  const prefixes = isolated();
  prefixes.begin('a', 'ada', ids(200), 0);
  assert.equal(prefixes.awaited('ada', ids(300)), 'a');
  assert.equal(prefixes.awaited('bob', ids(300)), null);
  prefixes.ready('a');
  assert.equal(prefixes.awaited('ada', ids(300)), null);
});

test('a prompt does not wait for much that is not its own, nor for little more than is there', () => {
  const prefixes = isolated();
  prefixes.begin('long', 'ada', [...ids(90), ...ids(110, 5000)], 0);
  assert.equal(prefixes.awaited('ada', ids(300)), null);
  prefixes.begin('same', 'ada', ids(200), 0);
  addKept(prefixes, 'kept', 'ada', ids(180));
  assert.equal(prefixes.awaited('ada', ids(300)), null);
  // What it has adopted itself is no wait.
  prefixes.begin('grown', 'ada', [...ids(200), ...ids(60, 7000)], 179);
  assert.equal(prefixes.awaited('ada', [...ids(200), ...ids(90, 7000)]), 'grown');
});
