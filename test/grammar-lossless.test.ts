/**
 * Promise 1 under a grammar, on the tiny model over real HTTP/2: whatever drafts, however long, in however many frames,
 * the ids are those of one engine that is fed one token at a time.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TailOptions } from '../shards/engine.ts';
import { createLocalEngine } from '../shards/local-engine.ts';
import { formatGrammar, toolGrammar } from '../src/grammar/answer-grammar.ts';
import { taggedCalls } from '../src/text/call-form.ts';
import { forwardAlone } from './support/forward-alone.ts';
import { generate } from './support/generate.ts';
import { type LosslessCase, predictionOf, samplingOf } from './support/lossless-cases.ts';
import { losslessPrompts } from './support/lossless-prompts.ts';
import { makeTinyModel, startTinyCluster, type TinyModel } from './support/tiny-cluster.ts';
import { tinyModel } from './support/tiny-gguf.ts';
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

/** Ids of the answer, one row a pass. */
async function plainIds(
  model: TinyModel,
  promptIds: readonly number[],
  options: Pick<TailOptions, 'sampling' | 'grammar'>,
): Promise<number[]> {
  const pack = await model.pack({ start: 0, end: tinyModel.layers });
  const engine = await createLocalEngine({ ...pack, threads: 1, kvBytesMax: 64 << 20, minRows: 2 });
  const tail = { ...options, promptLength: promptIds.length, eosIds, minTokens: 0, ignoreEos: false };
  try {
    await engine.open('plain', null);
    await engine.openTail('plain', tail);
    const tokens = [...promptIds];
    for (let position = 0; tokens.length < promptIds.length + maxTokens; position++) {
      const ids = Uint32Array.of(tokens[position]!);
      const headFrom = position + 1 < promptIds.length ? 1 : 0;
      const { verdict } = await forwardAlone(engine, {
        session: 'plain',
        position,
        ids,
        hidden: null,
        headFrom,
      });
      if (verdict !== null) tokens.push(...verdict.ids);
      if (verdict?.finished === true) break;
    }
    return tokens.slice(promptIds.length);
  } finally {
    await engine.dispose();
  }
}

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
  const { serving } = await startTinyCluster(t, model, { workers: 2, topology: 'chain', lm: true });
  const promptIds = serving.tokenizer.encodeText(losslessPrompts[3]!);
  let answers = 0;
  for (const [name, grammar] of Object.entries(grammars)) {
    const plain = new Map<string, number[]>();
    for (const sampling of samplings) {
      plain.set(sampling, await plainIds(model, promptIds, { grammar, sampling: samplingOf({ sampling }) }));
    }
    for (const value of everyCase()) {
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
  const forced = serving.planner.countersBySource.get('grammar')!;
  assert.ok(forced.drafted > 0, 'no forced text was drafted');
  assert.ok(forced.accepted > 0.5 * forced.drafted, JSON.stringify(forced));
  t.diagnostic(`${answers} answers; ${forced.accepted} of ${forced.drafted} forced tokens accepted`);
});
