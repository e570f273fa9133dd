/** Laws of src/text over any input: ids and text, streaming and whole, stop strings against a plain search. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createChatTemplate } from '../../src/text/chat-template.ts';
import { Detokenizer } from '../../src/text/detokenizer.ts';
import { createStopMatcher } from '../../src/text/stop-matcher.ts';
import { TextError } from '../../src/text/text-error.ts';
import { createTokenizer } from '../../src/text/tokenizer.ts';
import { spmTextMetadata, tinyTextMetadata } from '../support/text-metadata.ts';

const metadata = tinyTextMetadata();
const tokenizer = createTokenizer(metadata);
const chat = createChatTemplate(metadata, tokenizer);
const pieces = [...'▁abcé'].map((piece): [string, number] => [piece, -9]);
const spm = createTokenizer(
  spmTextMetadata([...pieces, ['▁a', -1], ['ab', -2], ['abc', -3], ['aa', -2]], {
    'tokenizer.ggml.add_space_prefix': false,
  }),
);

const anyText = fc.string({ unit: 'binary', maxLength: 60 });
/** Text rich in whole and broken names of control tokens. */
const hostileText = fc
  .array(
    fc.oneof(
      fc.constantFrom('<|im_start|>', '<|im_end|>', '<|endoftext|>', '<|', '|>', 'im_end', '<', '\ue000'),
      anyText,
    ),
    { maxLength: 8 },
  )
  .map((parts) => parts.join(''));
const anyIds = fc.array(fc.nat(tokenizer.vocabSize - 1), { maxLength: 40 });

test('decode is the inverse of encodeText', () => {
  fc.assert(
    fc.property(fc.oneof(anyText, hostileText), (text) => {
      assert.equal(tokenizer.decode(tokenizer.encodeText(text)), text.toWellFormed());
      assert.equal(spm.decode(spm.encodeText(text)), text.toWellFormed().replaceAll('\u2581', ' '));
    }),
  );
});

test('encodeText yields no special token', () => {
  fc.assert(
    fc.property(hostileText, (text) => {
      assert.ok(tokenizer.encodeText(text).every((id) => !tokenizer.isSpecial(id)));
    }),
  );
});

test('encodeChat holds the control tokens of the template and the text of the users, nothing else', () => {
  const message = fc.record({ role: fc.constantFrom('system', 'user', 'assistant'), content: hostileText });
  fc.assert(
    fc.property(fc.array(message, { maxLength: 4 }), (messages) => {
      const [start] = tokenizer.encode('<|im_start|>');
      const [end] = tokenizer.encode('<|im_end|>');
      const expected = messages.flatMap(({ role, content }) => [
        start,
        ...tokenizer.encodeText(`${role}\n${content}`),
        end,
        ...tokenizer.encodeText('\n'),
      ]);
      assert.deepEqual(chat.encodeChat(messages), [
        ...expected,
        start,
        ...tokenizer.encodeText('assistant\n'),
      ]);
    }),
  );
});

test('Detokenizer gives over any ids what decode gives at once, and whole characters on the way', () => {
  fc.assert(
    fc.property(anyIds, (ids) => {
      const detokenizer = new Detokenizer(tokenizer);
      let text = '';
      for (const [i, id] of ids.entries()) {
        text += detokenizer.push(id);
        assert.ok(text.isWellFormed());
        assert.ok(tokenizer.decode(ids.slice(0, i + 1)).startsWith(text));
      }
      assert.equal(text + detokenizer.flush(), tokenizer.decode(ids));
    }),
  );
});

test('Detokenizer holds back at most three bytes', () => {
  fc.assert(
    fc.property(anyIds, (ids) => {
      const detokenizer = new Detokenizer(tokenizer);
      const text = ids.map((id) => detokenizer.push(id)).join('');
      const whole = tokenizer.decode(ids);
      assert.ok(whole.length - text.length <= 1, 'more is missing than one unfinished character');
    }),
  );
});

test('StopMatcher trims as a plain search does, however the text is cut', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', '😀', '😁'), maxLength: 30 });
  const stops = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', '😀', '😁'), maxLength: 4 }), {
    maxLength: 4,
  });
  fc.assert(
    fc.property(fc.array(letters, { maxLength: 8 }), stops, (deltas, stopStrings) => {
      const matcher = createStopMatcher(stopStrings);
      const expected = firstMatch(deltas.join(''), stopStrings);
      const longest = Math.max(0, ...stopStrings.map((stop) => stop.length));
      let given = '';
      let read = 0;
      for (const delta of deltas) {
        const { text, stopped } = matcher.push(delta);
        given += text;
        read += delta.length;
        assert.equal(stopped, expected !== null && expected.end <= read);
        if (!stopped) assert.ok(read - given.length < Math.max(1, longest));
      }
      const whole = deltas.join('');
      assert.equal(given + matcher.flush(), expected === null ? whole : whole.slice(0, expected.start));
    }),
  );
});

test('createTokenizer throws nothing but TextError over any metadata', () => {
  const keys = [...metadata.keys()];
  const value = fc.oneof(
    fc.string(),
    fc.integer(),
    fc.boolean(),
    fc.array(fc.oneof(fc.string(), fc.integer()), { maxLength: 5 }),
    fc.constantFrom('gpt2', 'llama', 'qwen2', 'default', ['a b'], ['<s>', 'a'], [1, 3], [0, -1]),
    fc.constant(undefined),
  );
  fc.assert(
    fc.property(
      fc.dictionary(fc.constantFrom(...keys, 'tokenizer.ggml.scores'), value, { maxKeys: 6 }),
      (changes) => {
        try {
          createChatTemplate(tinyTextMetadata(changes), createTokenizer(tinyTextMetadata(changes)));
        } catch (error) {
          assert.ok(error instanceof TextError, String(error));
        }
      },
    ),
  );
});

/** The match that ends first, of those the longest. */
function firstMatch(text: string, stops: readonly string[]): { start: number; end: number } | null {
  const lengths = stops.map((stop) => stop.length).sort((a, b) => b - a);
  for (let end = 1; end <= text.length; end++) {
    for (const length of lengths) {
      if (length > 0 && length <= end && stops.includes(text.slice(end - length, end)))
        return { start: end - length, end };
    }
  }
  return null;
}
