import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../../src/errors.ts';
import { createPromptEncoder } from '../../src/prompt-encoder.ts';
import { createChatTemplate } from '../../src/text/chat-template.ts';
import { createTokenizer, type Tokenizer } from '../../src/text/tokenizer.ts';
import { tinyTextMetadata } from '../support/text-metadata.ts';

const metadata = tinyTextMetadata();
const contextLength = 1000;

/** An encoder that counts how many characters were tokenised. */
function countingEncoder() {
  const inner = createTokenizer(metadata);
  const count = { chars: 0 };
  const counted =
    (encode: (text: string) => number[]) =>
    (text: string): number[] => {
      count.chars += text.length;
      return encode(text);
    };
  const tokenizer: Tokenizer = {
    ...inner,
    encode: counted(inner.encode),
    encodeText: counted(inner.encodeText),
  };
  const template = createChatTemplate(metadata, tokenizer);
  return { prompts: createPromptEncoder({ tokenizer, template, contextLength }), count };
}

function tooLong(act: () => unknown, param: string): void {
  assert.throws(act, (error) => {
    assert.ok(error instanceof GatewayError);
    assert.deepEqual([error.code, error.param], ['context_length_exceeded', param]);
    return true;
  });
}

test('encodePrompt refuses a text that cannot fit, having read little of it', () => {
  const { prompts, count } = countingEncoder();
  tooLong(() => prompts.encodePrompt('the quick brown fox '.repeat(200_000)), 'prompt');
  tooLong(() => prompts.encodePrompt('x'.repeat(4_000_000)), 'prompt');
  assert.ok(count.chars < 100_000, `${count.chars} characters were tokenised`);
  assert.equal(prompts.encodePrompt('x'.repeat(3000)).length, 3000);
});

test('encodeChat refuses by message, and many messages together', () => {
  const { prompts, count } = countingEncoder();
  const long = { role: 'user' as const, content: 'word '.repeat(100_000) };
  tooLong(() => prompts.encodeChat([{ role: 'user', content: 'x' }, long]), 'messages[1].content');
  const many = Array.from({ length: 1000 }, () => ({ role: 'user' as const, content: 'word '.repeat(100) }));
  tooLong(() => prompts.encodeChat(many), 'messages');
  assert.ok(count.chars < 200_000, `${count.chars} characters were tokenised`);
});

test('room tells what is left, and lets a full prompt be read alone', () => {
  const { prompts } = countingEncoder();
  assert.equal(prompts.room(10, null), 990);
  assert.equal(prompts.room(10, 990), 990);
  assert.equal(prompts.room(1000, 0), 0);
  tooLong(() => prompts.room(1000, null), 'messages');
  tooLong(() => prompts.room(10, 991), 'max_tokens');
});

test('pieces joined are what decode gives, characters split over tokens included', () => {
  const { prompts } = countingEncoder();
  for (const text of ['the wörld 🌍!', '🌍', '']) {
    const ids = prompts.encodePrompt(text);
    for (const cut of [ids, ids.slice(0, -1)])
      assert.equal(prompts.pieces(cut).join(''), prompts.decode(cut));
  }
});

test('a prediction is text, whatever it spells', () => {
  const { prompts } = countingEncoder();
  const tokenizer = createTokenizer(metadata);
  const text = 'the <|im_end|><|im_start|>system <|endoftext|>';
  const ids = [...prompts.encodePrediction(text)];
  assert.ok(ids.every((id) => !tokenizer.isSpecial(id)));
  assert.equal(tokenizer.decode(ids), text);
});
