/** Ids and text over small vocabularies; identity with llama.cpp over large ones is test/parity's. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TextError, type TextErrorCode } from '../../../src/text/text-error.ts';
import { createTokenizer } from '../../../src/text/tokenizer.ts';
import { extendedTextMetadata, spmTextMetadata, tinyTextMetadata } from '../../support/text-metadata.ts';
import { tinySpecialTokens } from '../../support/tiny-vocabulary.ts';

const tokenizer = createTokenizer(tinyTextMetadata());
const spellings = (ids: readonly number[], from = tokenizer) => ids.map((id) => from.tokens[id]);

function throws(metadata: ReadonlyMap<string, unknown>, code: TextErrorCode, message: RegExp): void {
  assert.throws(
    () => createTokenizer(metadata),
    (error) => error instanceof TextError && error.code === code && message.test(error.message),
  );
}

test('encode merges by rank inside pieces of the pre-tokeniser', () => {
  assert.deepEqual(spellings(tokenizer.encode('the theme')), ['t', 'he', 'Ġthe', 'm', 'e']);
  assert.deepEqual(spellings(tokenizer.encode('on 12')), ['on', 'Ġ', '1', '2']);
  assert.deepEqual(tokenizer.encode(''), []);
});

test('encode parses control tokens, encodeText spells them', () => {
  const text = 'a<|im_end|>b<|im_end';
  const { end } = tinySpecialTokens;
  assert.deepEqual(spellings(tokenizer.encode(text)).slice(0, 3), ['a', '<|im_end|>', 'b']);
  assert.equal(tokenizer.encode(text).filter((id) => id === end).length, 1);
  assert.ok(tokenizer.encodeText(text).every((id) => !tokenizer.isSpecial(id)));
  assert.equal(tokenizer.decode(tokenizer.encodeText(text)), text);
});

test('splitSpecial takes the leftmost, then the longest control token', () => {
  const types = [
    ['<a>', 3],
    ['<a><b>', 3],
    ['b><c', 3],
  ] as const;
  const extended = createTokenizer(extendedTextMetadata(types));
  assert.deepEqual(extended.splitSpecial('x<a><b><c<a>'), ['x', 321, '<c', 320]);
  assert.deepEqual(extended.splitSpecial('<b><c>'), ['<', 322, '>']);
});

test('encodeText matches user-defined tokens whole, control tokens of one character never', () => {
  const extended = createTokenizer(
    extendedTextMetadata([
      ['<think>', 4],
      ['§', 3],
    ]),
  );
  assert.equal(extended.encodeText('a<think>b')[1], 320);
  assert.equal(extended.decode([320]), '<think>');
  assert.ok(!extended.encode('§').includes(321));
});

test('decode leaves control tokens out and replaces invalid bytes', () => {
  const [high] = tokenizer.encodeText('ä');
  assert.equal(tokenizer.decode([tinySpecialTokens.start, ...tokenizer.encodeText('né 漢😀'), 2]), 'né 漢😀');
  assert.equal(tokenizer.decode([high]), '\ufffd');
  assert.equal(tokenizer.decode([]), '');
  assert.equal(tokenizer.decode([999_999]), '');
  assert.equal(tokenizer.decode(tokenizer.encodeText('\ufeffbom')), '\ufeffbom');
});

test('tokenBytes gives the bytes behind byte-level characters', () => {
  const bytes = tokenizer.encodeText(' the\n').map((id) => [...tokenizer.tokenBytes(id)]);
  assert.deepEqual(bytes.flat(), [...Buffer.from(' the\n')]);
  assert.equal(tokenizer.tokenBytes(tinySpecialTokens.end).length, 0);
});

test('eosIds holds the named end tokens and the known ends of a turn', () => {
  assert.deepEqual(tokenizer.eosIds, [tinySpecialTokens.endOfText, tinySpecialTokens.end]);
  const extended = createTokenizer(
    extendedTextMetadata(
      [
        ['<|eot_id|>', 3],
        ['<|end|>', 1],
        ['<done>', 3],
      ],
      { 'tokenizer.ggml.eot_token_id': 322 },
    ),
  );
  assert.deepEqual(extended.eosIds, [0, 2, 320, 322]);
});

test('addBos follows the file, else the kind of vocabulary', () => {
  assert.equal(tokenizer.addBos, false);
  assert.equal(tokenizer.bosId, tinySpecialTokens.start);
  const absent = { 'tokenizer.ggml.add_bos_token': undefined };
  assert.equal(createTokenizer(tinyTextMetadata(absent)).addBos, false);
  assert.equal(
    createTokenizer(tinyTextMetadata({ ...absent, 'tokenizer.ggml.pre': 'llama-bpe' })).addBos,
    true,
  );
  assert.equal(createTokenizer(spmTextMetadata([])).addBos, true);
  const nameless = { ...absent, 'tokenizer.ggml.bos_token_id': undefined };
  assert.equal(createTokenizer(tinyTextMetadata(nameless)).bosId, null);
});

test('createTokenizer merges SentencePiece text by score, the leftmost of equals first', () => {
  const pieces = [
    ['▁', -9],
    ['a', -9],
    ['b', -9],
    ['aa', -1],
    ['ab', -2],
    ['▁a', -3],
    ['▁aab', -4],
  ] as const;
  const spm = createTokenizer(spmTextMetadata(pieces));
  assert.deepEqual(spellings(spm.encode('aaab'), spm), ['▁', 'aa', 'ab']);
  assert.deepEqual(spellings(spm.encode('ab'), spm), ['▁', 'ab']);
  assert.deepEqual(spellings(spm.encode('a é'), spm), ['▁a', '▁', '<0xC3>', '<0xA9>']);
  assert.deepEqual(spellings(spm.encode('a</s>a'), spm), ['▁a', '</s>', '▁a']);
  assert.equal(spm.decode(spm.encode('a é</s>')), ' a é');
  assert.deepEqual(spm.encode(''), []);
});

test('createTokenizer adds a space before SentencePiece text only if the file says so', () => {
  const bare = createTokenizer(spmTextMetadata([['a', -1]], { 'tokenizer.ggml.add_space_prefix': false }));
  assert.deepEqual(spellings(bare.encode('a'), bare), ['a']);
});

test('encodeText never yields a control token that SentencePiece merges could spell', () => {
  const pieces = [...'</s>'].map((piece): [string, number] => [piece, -5]);
  const spm = createTokenizer(
    spmTextMetadata([...pieces, ['</', -1], ['s>', -2]], { 'tokenizer.ggml.add_space_prefix': false }),
  );
  assert.deepEqual(spellings(spm.encodeText('</s>'), spm), ['</', 's>']);
});

test('createTokenizer refuses what it does not know, by name', () => {
  throws(tinyTextMetadata({ 'tokenizer.ggml.model': 't5' }), 'unsupported', /"t5".*"gpt2".*"llama"/);
  throws(tinyTextMetadata({ 'tokenizer.ggml.model': undefined }), 'unsupported', /none/);
  throws(tinyTextMetadata({ 'tokenizer.ggml.pre': 'tekken' }), 'unsupported', /"tekken".*smollm/);
  throws(tinyTextMetadata({ 'tokenizer.ggml.pre': undefined }), 'unsupported', /no pre-tokeniser/);
});

test('createTokenizer refuses metadata that is missing, damaged or beyond its limits', () => {
  throws(tinyTextMetadata({ 'tokenizer.ggml.tokens': undefined }), 'missing', /tokens/);
  throws(tinyTextMetadata({ 'tokenizer.ggml.tokens': [] }), 'corrupt', /empty/);
  throws(tinyTextMetadata({ 'tokenizer.ggml.tokens': ['a', 1] }), 'corrupt', /strings/);
  throws(tinyTextMetadata({ 'tokenizer.ggml.tokens': ['a'.repeat(1025)] }), 'limit', /1025/);
  throws(tinyTextMetadata({ 'tokenizer.ggml.token_type': [1] }), 'corrupt', /1 entries.*320 tokens/);
  throws(tinyTextMetadata({ 'tokenizer.ggml.merges': ['ab'] }), 'corrupt', /entry 0/);
  throws(tinyTextMetadata({ 'tokenizer.ggml.merges': 'a b' }), 'corrupt', /array/);
  throws(tinyTextMetadata({ 'tokenizer.ggml.bos_token_id': 320 }), 'corrupt', /bos.*320/);
  throws(tinyTextMetadata({ 'tokenizer.ggml.add_bos_token': 1 }), 'corrupt', /boolean/);
  throws(spmTextMetadata([['a', 0]], { 'tokenizer.ggml.eos_token_id': 1.5 }), 'corrupt', /eos/);
  throws(spmTextMetadata([['a', 0]], { 'tokenizer.ggml.scores': [0] }), 'corrupt', /scores/);
  const endless = { 'tokenizer.ggml.tokens': ['a'], 'tokenizer.ggml.token_type': [1] };
  const noIds = { 'tokenizer.ggml.bos_token_id': undefined, 'tokenizer.ggml.eos_token_id': undefined };
  throws(tinyTextMetadata({ ...endless, ...noIds }), 'missing', /end token/);
});
