/**
 * The tokeniser metadata of the tiny model: three special tokens, the 256 bytes of GPT-2's byte-level alphabet, some English
 * merges, then unused tokens up to the wanted size. Ids follow that order.
 */
import type { EncodableValue } from './gguf-encoder.ts';

export interface TinyVocabulary {
  readonly metadata: ReadonlyMap<string, EncodableValue>;
  /** Length of each id's embedding row: a tied head seldom chooses short rows, so that text is mostly printable. */
  readonly prominence: readonly number[];
}

export const tinySpecialTokens = { endOfText: 0, start: 1, end: 2 } as const;

const specialTokens = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'];

/** In order of their rank; Ġ is the space. Both halves of each exist before it. */
const merges = [
  ...[
    'Ġ t',
    'Ġ a',
    'h e',
    'i n',
    'r e',
    'o n',
    'e r',
    'Ġt he',
    'Ġ s',
    'a t',
    'Ġ o',
    'e n',
    'Ġ c',
    'e s',
    'Ġ w',
  ],
  ...[
    'n d',
    'i t',
    'o r',
    'i s',
    'a l',
    'Ġ p',
    'in g',
    'Ġ f',
    'a n',
    'e d',
    'Ġ b',
    'o u',
    'a r',
    'Ġ in',
    'Ġo f',
  ],
  ...[
    'Ġ m',
    'Ġa nd',
    'i on',
    'i c',
    'Ġ d',
    'Ġt o',
    'l e',
    'r o',
    'a s',
    'en t',
    'Ġ h',
    'l l',
    'o m',
    's t',
    'Ġ re',
  ],
  ...[
    'e l',
    'c t',
    'u r',
    'i l',
    'v e',
    'Ġ n',
    'u s',
    'Ġ l',
    'o t',
    'Ġ is',
    'i d',
    'Ġ g',
    'Ġ Ġ',
    'u t',
    'Ġ on',
  ],
  ...['i m'],
];

const chatTemplate =
  "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/** Token types of the format. */
const NORMAL = 1;
const CONTROL = 3;
const UNUSED = 5;

/** `size` is at least 259. */
export function tinyVocabulary(size: number): TinyVocabulary {
  const bytes = byteAlphabet();
  const text = [...bytes, ...merges.map((pair) => pair.replace(' ', ''))].slice(
    0,
    size - specialTokens.length,
  );
  const unused = Array.from(
    { length: size - specialTokens.length - text.length },
    (_, i) => `<|unused_${i}|>`,
  );
  const tokens = [...specialTokens, ...text, ...unused];
  const types = tokens.map((_, id) =>
    id < specialTokens.length ? CONTROL : id < specialTokens.length + text.length ? NORMAL : UNUSED,
  );
  return {
    prominence: tokens.map((token, id) => prominence(token, id, types[id])),
    metadata: new Map<string, EncodableValue>([
      ['tokenizer.ggml.model', { type: 'string', value: 'gpt2' }],
      ['tokenizer.ggml.pre', { type: 'string', value: 'smollm' }],
      ['tokenizer.ggml.tokens', { type: 'strings', value: tokens }],
      ['tokenizer.ggml.token_type', { type: 'i32s', value: types }],
      [
        'tokenizer.ggml.merges',
        { type: 'strings', value: merges.slice(0, Math.max(0, text.length - bytes.length)) },
      ],
      ['tokenizer.ggml.bos_token_id', { type: 'u32', value: tinySpecialTokens.start }],
      ['tokenizer.ggml.eos_token_id', { type: 'u32', value: tinySpecialTokens.end }],
      ['tokenizer.ggml.unknown_token_id', { type: 'u32', value: tinySpecialTokens.endOfText }],
      ['tokenizer.ggml.padding_token_id', { type: 'u32', value: tinySpecialTokens.end }],
      ['tokenizer.ggml.add_bos_token', { type: 'bool', value: false }],
      ['tokenizer.ggml.add_space_prefix', { type: 'bool', value: false }],
      ['tokenizer.chat_template', { type: 'string', value: chatTemplate }],
    ]),
  };
}

function prominence(token: string, id: number, type: number): number {
  if (id === tinySpecialTokens.end) return 0.8;
  return type === NORMAL && /^[!-~Ġ]+$/.test(token) ? 1 : 0.5;
}

/** GPT-2's stand-ins for the 256 bytes: printable Latin-1 is itself, the others follow from U+0100 on. */
function byteAlphabet(): string[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const isPrintable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
    return String.fromCodePoint(isPrintable ? byte : next++);
  });
}
