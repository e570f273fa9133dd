/**
 * A SentencePiece vocabulary in Llama 2's layout (unknown, two control tokens, 256 bytes, pieces by falling score), grown
 * by byte-pair merges over a few sentences of many scripts.
 */
import type { EncodableValue } from '../support/gguf-encoder.ts';
import { u32, u64 } from '../support/gguf-encoder.ts';
import { architectureMetadata } from './gguf-vocabulary.ts';

const sentences = [
  'The people of the island are walking along the northern road, and they are not returning before the evening.',
  "It's 1234567 metres to the other side; I don't know whether they'll ever get there.",
  'def function(value):\n    return [x for x in range(10) if x != value]\n\n    print("done")\n',
  'for (int i = 0; i < 10; i++) { total += values[i]; } // sum of the values\n',
  'Die Straße führt über den Fluß nach Zürich. Où est passé l’été dernier ?',
  'Привет, мир! Это предложение написано по-русски. Γειά σου κόσμε.',
  '你好，世界。今日は世界。안녕하세요 세계.',
];

const MERGES = 600;
const SPACE = '\u2581';
/** Token types of the format. */
const [NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE] = [1, 2, 3, 4, 6];
/** GGUF type numbers. */
const ARRAY = 9;
const FLOAT = 6;

/** Metadata of a vocabulary-only file. */
export function spmVocabulary(): Map<string, EncodableValue> {
  const merged = mergedPieces();
  const characters = new Set(sentences.flatMap((sentence) => [...sentence.replaceAll(' ', SPACE)]));
  const bytes = Array.from({ length: 256 }, (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`);
  const entries: [token: string, type: number, score: number][] = [
    ['<unk>', UNKNOWN, 0],
    ['<s>', CONTROL, 0],
    ['</s>', CONTROL, 0],
    ...bytes.map((token): [string, number, number] => [token, BYTE, 0]),
    ...merged.map((token, rank): [string, number, number] => [token, NORMAL, -rank]),
    ...[...characters].map((token, i): [string, number, number] => [token, NORMAL, -merged.length - i]),
    ['<pad>', USER_DEFINED, 0],
  ];
  const scores = Float32Array.from(entries, ([, , score]) => score);
  return new Map<string, EncodableValue>([
    ...architectureMetadata(),
    ['tokenizer.ggml.model', { type: 'string', value: 'llama' }],
    ['tokenizer.ggml.tokens', { type: 'strings', value: entries.map(([token]) => token) }],
    ['tokenizer.ggml.token_type', { type: 'i32s', value: entries.map(([, type]) => type) }],
    [
      'tokenizer.ggml.scores',
      {
        type: 'raw',
        typeId: ARRAY,
        value: Buffer.concat([u32(FLOAT), u64(scores.length), Buffer.from(scores.buffer)]),
      },
    ],
    ['tokenizer.ggml.bos_token_id', { type: 'u32', value: 1 }],
    ['tokenizer.ggml.eos_token_id', { type: 'u32', value: 2 }],
    ['tokenizer.ggml.unknown_token_id', { type: 'u32', value: 0 }],
    ['tokenizer.ggml.add_bos_token', { type: 'bool', value: false }],
  ]);
}

/** Pieces by falling frequency of their two halves side by side; ties go to the pair seen first. */
function mergedPieces(): string[] {
  const words = sentences.flatMap((sentence) =>
    sentence.split(/(?= )/).map((word) => [...word.replaceAll(' ', SPACE)]),
  );
  const pieces = new Set<string>();
  for (let merge = 0; merge < MERGES; merge++) {
    const pair = mostFrequentPair(words);
    if (pair === null) break;
    pieces.add(pair[0] + pair[1]);
    for (const word of words) joinPair(word, pair);
  }
  return [...pieces];
}

function mostFrequentPair(words: readonly string[][]): [string, string] | null {
  const counts = new Map<string, { pair: [string, string]; count: number }>();
  for (const word of words) {
    for (let i = 1; i < word.length; i++) {
      const key = JSON.stringify([word[i - 1], word[i]]);
      const entry = counts.get(key) ?? { pair: [word[i - 1], word[i]], count: 0 };
      entry.count += 1;
      counts.set(key, entry);
    }
  }
  let best: { pair: [string, string]; count: number } | null = null;
  for (const entry of counts.values()) if (best === null || entry.count > best.count) best = entry;
  return best === null ? null : best.pair;
}

function joinPair(word: string[], [left, right]: readonly [string, string]): void {
  for (let i = 1; i < word.length; i++) {
    if (word[i - 1] === left && word[i] === right) word.splice(i - 1, 2, left + right);
  }
}
