import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Detokenizer } from '../../../src/text/detokenizer.ts';
import { createTokenizer } from '../../../src/text/tokenizer.ts';
import { tinyTextMetadata } from '../../support/text-metadata.ts';
import { tinySpecialTokens } from '../../support/tiny-vocabulary.ts';

const tokenizer = createTokenizer(tinyTextMetadata());
const deltas = (ids: readonly number[]) => {
  const detokenizer = new Detokenizer(tokenizer);
  return [...ids.map((id) => detokenizer.push(id)), detokenizer.flush()];
};

test('push holds a character back until its last byte', () => {
  assert.deepEqual(deltas(tokenizer.encodeText('a😀é')), ['a', '', '', '', '😀', '', 'é', '']);
});

test('push gives nothing for control tokens, even inside a character', () => {
  const [first, second] = tokenizer.encodeText('é');
  assert.deepEqual(deltas([first, tinySpecialTokens.end, second]), ['', '', 'é', '']);
});

test('flush replaces an unfinished character and begins anew', () => {
  const detokenizer = new Detokenizer(tokenizer);
  const [first, second] = tokenizer.encodeText('漢');
  assert.equal(detokenizer.push(first) + detokenizer.push(second), '');
  assert.equal(detokenizer.flush(), '\ufffd');
  assert.equal(detokenizer.push(tokenizer.encodeText('x')[0]), 'x');
  assert.equal(detokenizer.flush(), '');
});

test('push keeps a byte order mark, at the start and later', () => {
  const text = '\ufeffa\ufeff';
  assert.equal(deltas(tokenizer.encodeText(text)).join(''), text);
});
