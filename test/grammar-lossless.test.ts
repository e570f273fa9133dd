/**
 * Promise 1 under a grammar, on the tiny model over real HTTP/2: whatever drafts, however long, in however many frames,
 * the ids are those of one engine that is fed one token at a time.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatGrammar, toolGrammar } from '../src/grammar/answer-grammar.ts';
import { taggedCalls } from '../src/text/call-form.ts';
import { generate } from './support/generate.ts';
import { type LosslessCase, predictionOf, samplingOf } from './support/lossless-cases.ts';
import { losslessPrompts } from './support/lossless-prompts.ts';
import { plainIds } from './support/plain-decoding.ts';
import { makeTinyModel, startTinyCluster, startTinyServing } from './support/tiny-cluster.ts';
import { tinySpecialTokens } from './support/tiny-vocabulary.ts';

const maxTokens = 60;
const eosIds = [tinySpecialTokens.end];

const order = {
  type: 'object',
  properties: {
    customer: { type: 'string', maxLength: 6 },
    kind: { enum: ['return', 'reorder', 'repair'] },
    lines: {
      type: 'array',
      items: { type: 'object', properties: { amount: { type: 'integer' } }, required: ['amount'] },
      minItems: 1,
      maxItems: 3,
    },
  },
  required: ['customer', 'kind', 'lines'],
};

const grammars: Readonly<Record<string, string>> = {
  schema: formatGrammar({ kind: 'json_schema', schema: order }),
  calls: toolGrammar({
    tools: [
      { name: 'place_order', parameters: order },
      { name: 'cancel_order', parameters: { type: 'object', properties: {} } },
    ],
    ...{ form: taggedCalls, textAllowed: false, parallel: true, format: null },
  }),
  pattern: formatGrammar({ kind: 'regex', pattern: '(ab|[a-f]{3}-){2,8}end' }),
};

const samplings = ['greedy', 'sampled'] as const;
const drafters = ['none', 'ngram', 'lm', 'grammar', 'auto'] as const;
const lengths = [1, 5, 'auto'] as const;
const rounds = ['sync', 'async'] as const;
const predictions = ['absent', 'right', 'wrong'] as const;

type Case = Pick<LosslessCase, 'sampling' | 'rounds' | 'prediction'> & {
  readonly drafter: (typeof drafters)[number];
  readonly draftLength: (typeof lengths)[number];
};

function everyCase(): Case[] {
  return samplings.flatMap((sampling) =>
    drafters.flatMap((drafter) =>
      lengths.flatMap((draftLength) =>
        rounds.flatMap((round) =>
          predictions
            .filter((prediction) => prediction === 'absent' || drafter === 'ngram' || drafter === 'auto')
            .map((prediction) => ({ sampling, drafter, draftLength, rounds: round, prediction })),
        ),
      ),
    ),
  );
}

test('every drafter, length and way of rounds gives the ids of plain decoding under a grammar', async (t) => {
  const model = await makeTinyModel(t);
  const chain = await startTinyCluster(t, model, { workers: 2, topology: 'chain', lm: true });
  const star = await startTinyServing(t, model, chain.workers, { workers: 2, topology: 'star', lm: true });
  const promptIds = chain.serving.tokenizer.encodeText(losslessPrompts[3]!);
  let answers = 0;
  for (const [name, grammar] of Object.entries(grammars)) {
    const plain = new Map<string, number[]>();
    for (const sampling of samplings) {
      const tail = { grammar, sampling: samplingOf({ sampling }), eosIds, ignoreEos: false };
      plain.set(sampling, await plainIds(model, promptIds, maxTokens, tail));
    }
    for (const [i, value] of everyCase().entries()) {
      // 5 goes along with the number of values of no setting.
      const serving = i % 5 < 2 ? star : chain.serving;
      const { sampling, drafter, draftLength, rounds, prediction } = value;
      const wanted = plain.get(sampling)!;
      const { ids } = await generate(serving, {
        promptIds,
        ...{ sampling: samplingOf(value), maxTokens, eosIds, tail: { grammar } },
        policy: { drafter, draftLength, rounds },
        prediction: predictionOf(prediction, wanted),
      });
      assert.deepEqual(ids, wanted, `${name} ${JSON.stringify(value)}`);
      answers += 1;
    }
  }
  const forced = chain.serving.planner.countersBySource.get('grammar')!;
  assert.ok(forced.drafted > 0, 'no forced text was drafted');
  assert.ok(forced.accepted > 0.5 * forced.drafted, JSON.stringify(forced));
  t.diagnostic(`${answers} answers; ${forced.accepted} of ${forced.drafted} forced tokens accepted`);
});
