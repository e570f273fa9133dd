/**
 * Texts for comparing tokenisers: chosen hard cases, then random strings over mixed alphabets under a fixed seed. The same
 * list on every machine; `specials` are names of control tokens of the model at hand, which go into some of them.
 */

const hardCases: readonly string[] = [
  // White space
  ...[
    '',
    ' ',
    '  ',
    '   a',
    'a   ',
    '\n',
    '\n\n',
    '\n\n\n x',
    ' \n',
    ' \n ',
    '\t',
    '\t\t x',
    '\t \t',
    'a\tb',
  ],
  ...['a \t b', '\r\n', 'x\r\n\r\ny', ' \r\n  z', '\r', '\v\f', 'x  =  1', 'a , b ; c', '  lead', 'trail  '],
  ...[
    '\u00a0nbsp\u00a0',
    'a\u00a0\u00a0b',
    '\u3000wide',
    '\u2003em',
    '1\u202f000',
    '\u0085next',
    'a\u0085\u0085b',
  ],
  ...[
    ' \u0085 ',
    '\u2028line',
    '\u2029para',
    '\u200bzero',
    'a\u200b b',
    '\ufeffbom',
    ' \ufeff ',
    '\ufeff\ufeff\n',
  ],
  ...['\u180e', 'a \u180e b', '\u205f\u205f', '\u1680ogham', '\n\u00a0\n', '\u00a0\n', '\u3000\n\u3000'],
  // Digits and other numbers
  ...['0', '12', '1234567', ' 1 22  333', '3.14159', '1,234.56', '$5', '20%', '1e-5', '0x1F', 'v1.2.3'],
  ...[
    'abc123def',
    '123abc',
    ' 9',
    '²³¹',
    'x²',
    '½ ¾',
    '①②③',
    '٣٤٥',
    '१२३',
    'Ⅷ',
    '五六七',
    '𝟘𝟙𝟚',
    '1²3',
    '12½',
  ],
  ...[
    ' 1',
    '  1',
    '   12',
    'a1 b2',
    '1234 5678',
    '12:34:56.789',
    '+49 170 1234567',
    '1_000_000',
    '٠١٢٣٤٥٦٧٨٩',
  ],
  // Contractions and quotation
  ...["don't", "I'll we've they're I'd I'm it's", "DON'T I'LL", "'s 't 're", "''", "rock 'n' roll", '’s ’t'],
  ...['can’t', "'S'T'RE", "x'll'd", "'", '"', '“quotes”', '„so“', '«ainsi»', "l'été d'août", "'ſ", "it'ſ"],
  // Code
  ...['camelCaseString', 'snake_case_name', 'a_b_c__d', 'foo.bar(baz)[0]', 'x=y+z', 'if (a&&b||!c) {'],
  ...['}}}]]])))', '/* c */ // d', '<html><body></body></html>', 'SELECT * FROM t WHERE x > 10;'],
  ...[
    '    def f(self):\n        return 1\n',
    '\tif x:\n\t\ty()\n',
    'for(int i=0;i<10;i++)\n{\n}\n',
    '`code`',
  ],
  ...['```py\nx\n```', '{"a": [1, 2, {"b": null}]}', 'C:\\path\\to\\file', 'https://example.com/a?b=c&d=1#e'],
  ...[
    'user@example.org',
    'let x: Vec<u8> = vec![0; 16];',
    '#include <stdio.h>',
    '$$x^2$$',
    '\\frac{1}{2}',
    '&amp;',
  ],
  ...[
    'a->b::c',
    '!==',
    '===',
    '---',
    '!!!???...',
    '# # ##',
    '%20',
    '$HOME/.config',
    '@decorator\ndef',
    'λx.x x',
  ],
  ...['^~|<>=+$', 'a^b~c|d', '`^`', '<=>', '#!/bin/sh', '\u001b[31mred\u001b[0m'],
  // Words and scripts
  ...['Hello, world!', 'HELLO', 'naïve café', 'Zürich Straße', 'ÀÉÎÕÜ', 'e\u0301 combining', 'Привет, мир'],
  ...[
    'Γειά σου',
    'שלום עולם',
    'مرحبا بالعالم',
    'नमस्ते दुनिया',
    '你好，世界。',
    'こんにちは世界',
    '안녕하세요',
    'ไทย ภาษา',
  ],
  ...[
    'தமிழ்',
    'ქართული',
    'Հայերեն',
    'አማርኛ',
    'ភាសាខ្មែរ',
    'ᚠᛇᚻ',
    '𐍈',
    '𝒳𝓎',
    'ǅ',
    'ªº',
    'ﬁ ﬂ',
    'İstanbul ıi',
    'ẞß',
  ],
  ...[
    'supercalifragilisticexpialidocious',
    'U.S.A.',
    'A.B.',
    'e.g. i.e. etc.',
    'word\u2014dash',
    '…',
    'µm Ω',
    '\u00ad',
  ],
  ...['\u0e33', '\u1100\u1161', 'a\u0300\u0301\u0302b', '\u0345', 'क्ष', '\u200e\u200fmarks'],
  // Symbols and emoji
  ...[
    '😀',
    '👍🏽 ok',
    '👨‍👩‍👧‍👦',
    '🇩🇪🇫🇷',
    'a😀b',
    '→ ← ↔ ∑ ∫ √',
    '∀x∈ℝ',
    '♠♥♦♣',
    '☃️',
    '🏴󠁧󠁢󠁥󠁮󠁧󠁿',
    'a\u200db',
    '©®™',
    '€£¥',
    '№',
  ],
  // Control characters, odd code points
  ...[
    '\u0000nul',
    'a\u0001b',
    '\u001f\u007f',
    '\u0080\u009f',
    '\ud7ff',
    '\ue000',
    '\ufffd',
    '\ufffe',
    '\u{10ffff}',
  ],
  ...['\ud800', 'a\udc00b', '\ud83d', '\udc00\ud800'],
  // Runs
  ...['a'.repeat(300), ' '.repeat(100), '\n'.repeat(30), '0'.repeat(40), 'ab '.repeat(50), '-'.repeat(90)],
  ...['\t'.repeat(17), ' \n'.repeat(20), '=#'.repeat(30), '😀'.repeat(20), '漢'.repeat(50), "'".repeat(9)],
];

/** Alphabets of the random strings; each string mixes a few of them. */
const alphabets: readonly (readonly string[])[] = [
  [...'abcdefghijklmnopqrstuvwxyz'],
  [...'ETAOINSHRDLU'],
  [...'0123456789'],
  [...'  \n\t'],
  [' ', '  ', '    ', '\n', '\n\n', '\r\n', '\t'],
  [...'.,;:!?\'"()[]{}<>'],
  [...'+-*/=&|^~%$#@_\\`'],
  [...'éüñçßøåžřőİı'],
  [...'жщыэюяДЛ'],
  [...'αβγΔΩ'],
  [...'漢字仮名한글あア'],
  [...'אבגابجदेवไทย'],
  [...'😀👍🏽🇩🇪❤️'],
  ['²', '½', 'Ⅷ', '٣', '१', '五', '𝟘'],
  ['\u00a0', '\u3000', '\u2003', '\u200b', '\u200d', '\ufeff', '\u0085', '\u0301'],
  ['\u0000', '\u0007', '\u001b', '\u007f', '\ufffd'],
  ["'s", "'t", "'re", "'ll", "'D", "'VE", '’s'],
  ['the ', ' and', 'function ', 'return', ' = ', 'print(', 'def ', 'import ', ' of', 'ing', 'http://'],
];

const RANDOM_STRINGS = 480;
const SPECIAL_STRINGS = 60;

export function corpus(specials: readonly string[]): string[] {
  const random = mulberry32(20_240_607);
  const below = (n: number) => Math.floor(random() * n);
  const mixed = (pieces: readonly (readonly string[])[], length: number) =>
    Array.from({ length }, () => {
      const alphabet = pieces[below(pieces.length)];
      return alphabet[below(alphabet.length)];
    }).join('');
  const pick = () => Array.from({ length: 1 + below(4) }, () => alphabets[below(alphabets.length)]);

  const randomStrings = Array.from({ length: RANDOM_STRINGS }, () => mixed(pick(), 1 + below(80)));
  const damaged = specials.flatMap((name) => [name.slice(1), name.slice(0, -1), name.replace('<', '< ')]);
  const specialStrings = Array.from({ length: SPECIAL_STRINGS }, () =>
    mixed([specials, specials, damaged, ...pick()], 1 + below(20)),
  );
  return [...hardCases, ...specials, ...damaged, ...randomStrings, ...specialStrings];
}

/** A small seeded generator (Tommy Ettinger's mulberry32), uniform in [0, 1). */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
