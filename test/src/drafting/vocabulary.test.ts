import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sameVocabulary } from '../../../src/drafting/vocabulary.ts';

test('sameVocabulary takes equal strings and padding at the end', () => {
  sameVocabulary(['a', 'b'], ['a', 'b']);
  sameVocabulary(['a', 'b', '<|reserved_special_token_1|>'], ['a', 'b']);
  sameVocabulary(['a', 'b'], ['a', 'b', '[PAD2]', '<unused3>']);
  sameVocabulary(['a', '<unused0>'], ['a', '[PAD1]']);
});

test('sameVocabulary names the first difference', () => {
  assert.throws(() => sameVocabulary(['a', 'b', 'c'], ['a', 'x', 'y']), /id 1 is "b" to the target and "x"/);
  assert.throws(() => sameVocabulary(['a', 'b', 'c'], ['a', 'b']), /id 2 is "c" to the target and nothing/);
});
