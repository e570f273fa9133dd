/** What an answer must look like, each kind of it, by a random model over real workers: the text is of that form. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { readFormat } from '../routes/format-fields.ts';
import { formatGrammar } from '../src/grammar/answer-grammar.ts';
import { makeTinyModel, startTinyCluster } from './support/tiny-cluster.ts';

const schema = {
  type: 'object',
  properties: { kind: { enum: ['a', 'b'] }, count: { type: 'integer', minimum: 3, maximum: 40 } },
  required: ['kind', 'count'],
};
const isOfSchema = new Ajv2020().compile(schema);
const bySchema = (text: string): boolean => isOfSchema(JSON.parse(text));
const isObject = (text: string): boolean => /^\{/.test(text) && typeof JSON.parse(text) === 'object';
const jsonSchema = (strict: boolean) => ({
  response_format: { type: 'json_schema' as const, json_schema: { name: 'n', schema, strict } },
});

const kinds: readonly [
  name: string,
  fields: Parameters<typeof readFormat>[0],
  holds: (text: string) => boolean,
][] = [
  ['json_object', { response_format: { type: 'json_object' } }, isObject],
  ['json_schema, strict', jsonSchema(true), bySchema],
  ['json_schema, not strict', jsonSchema(false), bySchema],
  ['structured_outputs.json', { structured_outputs: { json: schema } }, bySchema],
  ['structured_outputs.json as text', { structured_outputs: { json: JSON.stringify(schema) } }, bySchema],
  ['structured_outputs.json_object', { structured_outputs: { json_object: true } }, isObject],
  [
    'structured_outputs.regex',
    { structured_outputs: { regex: '(ab|cd){2,4}-\\d{1,3}' } },
    (text) => /^(ab|cd){2,4}-\d{1,3}$/.test(text),
  ],
  [
    'structured_outputs.choice',
    { structured_outputs: { choice: ['left', 'right', 'not "here"'] } },
    (text) => ['left', 'right', 'not "here"'].includes(text),
  ],
  [
    'structured_outputs.grammar',
    { structured_outputs: { grammar: 'root ::= "x" list\nlist ::= "" | "," [0-9] list' } },
    (text) => /^x(,\d)*$/.test(text),
  ],
];

test('every kind of structured output holds, greedy and sampled, with and without drafts', async (t) => {
  const { serving } = await startTinyCluster(t, await makeTinyModel(t), { workers: 2, topology: 'chain' });
  assert.equal(readFormat({ response_format: { type: 'text' } }), null);
  for (const [name, fields, holds] of kinds) {
    const { format, param } = readFormat(fields)!;
    let ended = 0;
    for (const temperature of [0, 1]) {
      for (const seed of [1n, 2n, 3n]) {
        const texts = await Promise.all(
          (['none', 'auto'] as const).map(async (drafter) => {
            const { events } = await serving.completions.start({
              messages: [{ role: 'user', content: 'Say something.' }],
              grammar: { ebnf: formatGrammar(format), param },
              ...{ temperature, topP: 1, topK: 0, minP: 0, seed, maxTokens: 120, stop: [], prediction: null },
              speculation: { drafter, draftLength: 'auto' },
              ...{ owner: 'test', signal: new AbortController().signal },
            });
            let text = '';
            for await (const event of events) {
              if (event.type === 'text') text += event.deltas.join('');
              else if (event.reason === 'stop') {
                ended += 1;
                assert.ok(holds(text), `${name}: ${text}`);
              }
            }
            return text;
          }),
        );
        assert.equal(texts[1], texts[0], name);
      }
    }
    assert.ok(ended > 0, `no answer of ${name} ended`);
  }
});

test('a grammar that would explode, or is none, is refused in bounded time, and the ring never hears of it', async (t) => {
  const { serving, workers } = await startTinyCluster(t, await makeTinyModel(t), {
    workers: 1,
    topology: 'chain',
  });
  const param = 'structured_outputs.grammar';
  const start = (ebnf: string) =>
    serving.completions.start({
      messages: [{ role: 'user', content: 'Say something.' }],
      grammar: { ebnf, param },
      ...{ temperature: 0, topP: 1, topK: 0, minP: 0, seed: 1n, maxTokens: 5, stop: [], prediction: null },
      speculation: { drafter: 'auto', draftLength: 'auto' },
      ...{ owner: 'test', signal: new AbortController().signal },
    });
  const words = Array.from({ length: 2000 }, (_, i) => `("${i}" | [^a] [a-z ]{0,90})`);
  const cases: [ebnf: string, message: RegExp][] = [
    [`root ::= ${words.join(' ')}`, /takes more than 4000 ms to compile/],
    ['root ::= missing', /"missing" is not defined/],
  ];
  for (const [ebnf, message] of cases) {
    const began = performance.now();
    await assert.rejects(start(ebnf), { code: 'invalid_request', param, message });
    assert.ok(performance.now() - began < 30_000);
  }
  assert.equal(workers[0]!.sessionCount, 0);
  assert.equal(serving.scheduler.load().running, 0);
  const { events } = await start('root ::= "x"');
  let text = '';
  for await (const event of events) if (event.type === 'text') text += event.deltas.join('');
  assert.equal(text, 'x');
});
