/** Modes by name, and what is true of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chosenModes, isLossless, overlaps } from '../../bench/modes.ts';
import { wanModes } from '../../bench/wan-modes.ts';

test('chosenModes keeps the order and the base', () => {
  const chosen = chosenModes(wanModes, ['head async', 'text sync']).map(({ name }) => name);
  assert.deepEqual(chosen, ['plain chain', 'text sync', 'head async']);
  assert.equal(chosenModes(wanModes, null).length, wanModes.length);
});

test('wanModes are lossless but for the adaptive one, and overlap where they say so', () => {
  const lossy = wanModes.filter((mode) => !isLossless(mode)).map(({ name }) => name);
  assert.deepEqual(lossy, ['adaptive async']);
  for (const mode of wanModes) assert.equal(overlaps(mode), mode.name.endsWith('async'), mode.name);
});
