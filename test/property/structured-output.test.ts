/**
 * Answers to random schemas by a random model: valid whenever they end, JSON at every step, and the same bytes whatever
 * drafts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { FormatError, formatGrammar } from '../../src/grammar/answer-grammar.ts';
import type { Serving } from '../../src/serving.ts';
import { isJsonPrefix } from '../support/json-prefix.ts';
import { randomSchemas, refusedSchemas } from '../support/random-schemas.ts';
import { makeTinyModel, startTinyCluster } from '../support/tiny-cluster.ts';

const schemasTried = 220;
const maxTokens = 160;

interface Answer {
  readonly text: string;
  readonly prefixes: readonly string[];
  readonly reason: 'stop' | 'length';
  readonly drafted: number;
  readonly accepted: number;
  readonly rounds: number;
}

async function answer(
  serving: Serving,
  ebnf: string,
  seed: number,
  drafter: 'none' | 'auto',
): Promise<Answer> {
  const { events } = await serving.completions.start({
    messages: [{ role: 'user', content: 'Say something.' }],
    grammar: { ebnf, param: 'response_format' },
    temperature: 1,
    topP: 1,
    topK: 0,
    minP: 0,
    seed: BigInt(seed),
    maxTokens,
    stop: [],
    prediction: null,
    speculation: { drafter, draftLength: 'auto' },
    owner: 'test',
    signal: new AbortController().signal,
  });
  let text = '';
  const prefixes: string[] = [];
  for await (const event of events) {
    if (event.type === 'finish') {
      const { draftedTokens: drafted, acceptedTokens: accepted, rounds } = event.metrics;
      return { text, prefixes, reason: event.reason, drafted, accepted, rounds };
    }
    for (const delta of event.deltas) {
      text += delta;
      prefixes.push(text);
    }
  }
  throw new Error('no finish event');
}

test('answers to random schemas are valid, prefixes of JSON, and the same with and without drafts', async (t) => {
  const model = await makeTinyModel(t);
  const { serving } = await startTinyCluster(t, model, { workers: 2, topology: 'chain' });
  const ajv = new Ajv2020({ strict: false, logger: false, validateFormats: false });
  let complete = 0;
  let drafted = 0;
  let accepted = 0;
  let [rounds, plainRounds] = [0, 0];
  await fc.assert(
    fc.asyncProperty(randomSchemas, fc.nat(), async (schema, seed) => {
      const ebnf = formatGrammar({ kind: 'json_schema', schema });
      const plain = await answer(serving, ebnf, seed, 'none');
      const drafts = await answer(serving, ebnf, seed, 'auto');
      assert.equal(drafts.text, plain.text);
      assert.equal(drafts.reason, plain.reason);
      drafted += drafts.drafted;
      accepted += drafts.accepted;
      rounds += drafts.rounds;
      plainRounds += plain.rounds;
      for (const prefix of plain.prefixes) assert.ok(prefix === '' || isJsonPrefix(prefix), prefix);
      if (plain.reason === 'length') return;
      complete += 1;
      const validate = ajv.compile(schema);
      assert.ok(validate(JSON.parse(plain.text)), `${plain.text}: ${ajv.errorsText(validate.errors)}`);
    }),
    { numRuns: schemasTried, seed: 1124, endOnFailure: true },
  );
  assert.ok(complete > schemasTried / 2, `only ${complete} answers ended`);
  // Weights are random here, so what is drafted well is forced by the schemas alone.
  assert.ok(accepted > drafted / 2, `${accepted} of ${drafted} draft tokens accepted`);
  assert.ok(rounds < 0.8 * plainRounds, `${rounds} rounds, ${plainRounds} without drafts`);
  t.diagnostic(
    `${complete} of ${schemasTried} answers ended; ${accepted} of ${drafted} draft tokens accepted; ` +
      `${rounds} rounds, ${plainRounds} without drafts`,
  );
});

test('what no grammar can promise is refused with the pointer to it, wherever it stands', () => {
  fc.assert(
    fc.property(refusedSchemas, ({ schema, pointer }) => {
      assert.throws(
        () => formatGrammar({ kind: 'json_schema', schema }),
        (error) => error instanceof FormatError && error.message.startsWith(`#${pointer}: `),
        pointer,
      );
    }),
    { numRuns: 300, seed: 1128 },
  );
});
