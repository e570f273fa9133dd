/** Text behind text is cut as the tokeniser cuts both together, and always spells the text. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeBehind } from '../../../src/text/continuation.ts';
import { createTokenizer } from '../../../src/text/tokenizer.ts';
import { spmTextMetadata, tinyTextMetadata } from '../../support/text-metadata.ts';

const tokenizer = createTokenizer(tinyTextMetadata());

test('encodeBehind goes on where the tokeniser would', () => {
  const whole = 'say {"the other": "in the end"}';
  const ids = tokenizer.encodeText(whole);
  for (let at = 0; at <= ids.length; at++) {
    const rest = tokenizer.decode(ids.slice(at));
    assert.deepEqual(encodeBehind(tokenizer, ids.slice(0, at), rest), ids.slice(at));
  }
});

test('encodeBehind spells the rest of a word that was begun in other pieces', () => {
  const begun = [...tokenizer.encodeText('t'), ...tokenizer.encodeText('h')];
  const ids = encodeBehind(tokenizer, begun, 'e end');
  assert.equal(tokenizer.decode(ids), 'e end');
  assert.equal(tokenizer.decode(encodeBehind(tokenizer, [0, 1, 2], 'the')), 'the');
});

test('encodeBehind never spells more than the text, also where a vocabulary begins with a space', () => {
  const pieces = [...'▁ab'].map((piece): [string, number] => [piece, -9]);
  const spm = createTokenizer(spmTextMetadata(pieces, { 'tokenizer.ggml.add_space_prefix': true }));
  const ids = encodeBehind(spm, spm.encodeText('a'), 'ab');
  const bytes = Buffer.concat(ids.map((id) => spm.tokenBytes(id))).toString();
  assert.ok('ab'.startsWith(bytes), bytes);
});
