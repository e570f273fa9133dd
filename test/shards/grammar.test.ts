/** Grammars over ids: masks along accepted ids, rollback, end tokens, UTF-8, and what a tail refuses. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createGrammars, type GrammarMatcher, isAllowed } from '../../shards/grammar.ts';
import { grammarStep } from '../../shards/grammar-step.ts';
import { decodeTokenBytes, encodeTokenBytes } from '../../shards/token-bytes-file.ts';

/** All bytes by their value, two words, then a control token that ends answers. */
const utf8 = new TextEncoder();
const tokens = [
  ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
  utf8.encode('ab'),
  utf8.encode('true'),
  new Uint8Array(0),
];
const [ab, eos] = [256, 258];
const vocab = 264;
const grammars = createGrammars(async () => tokens, vocab);

const allowed = (matcher: GrammarMatcher): number[] => {
  const mask = matcher.mask();
  return mask === null
    ? []
    : Array.from({ length: vocab }, (_, id) => id).filter((id) => isAllowed(mask, id));
};
const code = (character: string): number => character.charCodeAt(0);

test('GrammarMatcher allows exactly what may follow, and the end only where the grammar may end', async () => {
  const matcher = await grammars.open('root ::= "ab" [0-9]?', [eos]);
  assert.deepEqual(allowed(matcher), [code('a'), ab]);
  assert.equal(matcher.forcedText(), 'ab');
  assert.equal(matcher.accept(ab), true);
  assert.deepEqual(allowed(matcher), [...Array.from({ length: 10 }, (_, i) => 48 + i), eos]);
  assert.equal(matcher.accept(eos), true);
  assert.equal(matcher.mask(), null);
});

test('GrammarMatcher rolled back equals one that never went on, also behind refused ids and the end', async () => {
  const matcher = await grammars.open('root ::= "ab" [0-9]?', [eos]);
  const atStart = allowed(matcher);
  matcher.accept(ab);
  const behind = allowed(matcher);
  for (const id of [code('x'), code('y')]) assert.equal(matcher.accept(id), false);
  assert.equal(matcher.mask(), null);
  matcher.rollback(2);
  assert.deepEqual(allowed(matcher), behind);
  for (const id of [code('7'), eos, eos]) matcher.accept(id);
  matcher.rollback(4);
  assert.deepEqual(allowed(matcher), atStart);
});

test('GrammarMatcher never allows bytes that are not UTF-8', async () => {
  const matcher = await grammars.open('root ::= [^"]*', [eos]);
  assert.ok(!allowed(matcher).includes(0xc0));
  matcher.accept(0xed);
  assert.deepEqual(
    allowed(matcher),
    Array.from({ length: 0x20 }, (_, i) => 0x80 + i),
  );
});

test('createGrammars refuses a text that is no grammar, says why, and goes on', async () => {
  await assert.rejects(grammars.open('root ::= missing', [eos]), {
    code: 'bad_request',
    message: /"missing" is not defined/,
  });
  assert.deepEqual(allowed(await grammars.open('root ::= "b"', [eos])), [code('b')]);
});

test('grammarStep masks, ends where nothing may follow, and never masks everything', async () => {
  const matcher = await grammars.open('root ::= "a"', [eos]);
  const step = grammarStep(() => matcher.mask(), [eos]);
  const masked = (...gone: readonly number[]): number[] => {
    const logits = new Float32Array(vocab).fill(1);
    for (const id of gone) logits[id] = -Infinity;
    step.apply(logits, 0);
    return [...logits.keys()].filter((id) => logits[id]! > -Infinity);
  };
  assert.deepEqual(masked(), [code('a')]);
  assert.deepEqual(masked(code('a')), [eos]);
  matcher.accept(code('a'));
  assert.deepEqual(masked(), [eos]);
  matcher.accept(eos);
  assert.deepEqual(masked(), [eos]);
  matcher.rollback(2);
  assert.deepEqual(masked(), [code('a')]);
});

test('token bytes survive their file, and a damaged file is refused', () => {
  const file = encodeTokenBytes(tokens);
  assert.deepEqual(
    decodeTokenBytes(file).map((bytes) => [...bytes]),
    tokens.map((bytes) => [...bytes]),
  );
  for (const damaged of [file.subarray(0, 3), file.subarray(0, 40), file.subarray(0, file.length - 1)]) {
    assert.throws(() => decodeTokenBytes(damaged), { code: 'engine_failed' });
  }
});
