/**
 * Schemas against the default model: valid answers, JSON at every step, the same bytes whatever drafts, and fewer rounds
 * by what the schema forces.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import OpenAI from 'openai';
import { startGateway } from '../support/gateway-process.ts';
import { isJsonPrefix } from '../support/json-prefix.ts';
import { realHome, realModelPath } from '../support/real-model.ts';

const maxTokens = 160;

interface Told {
  readonly text: string;
  readonly prefixes: readonly string[];
  readonly reason: string | null;
  readonly rounds: number;
  readonly drafted: number;
  readonly accepted: number;
}

const object = (
  properties: Readonly<Record<string, object>>,
  rest: object = {},
): Record<string, unknown> => ({
  type: 'object',
  properties,
  required: Object.keys(properties),
  additionalProperties: false,
  ...rest,
});

const questions: readonly [question: string, schema: Record<string, unknown>][] = [
  [
    'Describe a cat as JSON.',
    object({
      species: { enum: ['cat', 'dog'] },
      legs: { type: 'integer', minimum: 0, maximum: 8 },
      colours: { type: 'array', items: { type: 'string', maxLength: 12 }, minItems: 1, maxItems: 3 },
    }),
  ],
  [
    'Who was Ada Lovelace? Answer as JSON.',
    object({
      firstName: { type: 'string', minLength: 1, maxLength: 40 },
      familyName: { type: 'string', minLength: 1, maxLength: 40 },
      born: { type: 'string', format: 'date' },
      knownFor: { enum: ['mathematics', 'music', 'painting'] },
    }),
  ],
  [
    'A point and a circle as JSON.',
    object(
      {
        point: { $ref: '#/$defs/point' },
        circle: object({
          centre: { $ref: '#/$defs/point' },
          radius: { type: 'number', minimum: 0, maximum: 100 },
        }),
      },
      { $defs: { point: object({ x: { type: 'integer' }, y: { type: 'integer' } }) } },
    ),
  ],
  [
    'An order of two books as JSON.',
    object({
      orderNumber: { type: 'string', pattern: '^[A-Z]{2}-\\d{4}$' },
      lines: {
        type: 'array',
        items: object({
          title: { type: 'string', maxLength: 30 },
          amount: { type: 'integer', minimum: 1, maximum: 99 },
        }),
        minItems: 1,
        maxItems: 2,
      },
      express: { type: 'boolean' },
    }),
  ],
  [
    'Is the sky blue? Answer as JSON.',
    object({
      answer: { anyOf: [{ const: 'yes' }, { const: 'no' }, { type: 'null' }] },
      confidence: { type: 'number', minimum: 0, maximum: 1 },
    }),
  ],
];

test('the default model answers by schema, the same with and without drafts', async (t) => {
  const path = await realModelPath();
  if (path === null) return t.skip('the default model cannot be had here');
  const gateway = await startGateway(t, ['--model', path, '--shards', '2'], {
    env: { FORETOKEN_HOME: realHome() },
  });
  const client = new OpenAI({ baseURL: gateway.baseUrl, apiKey: 'none', maxRetries: 0 });
  const model = (await client.models.list()).data[0]!.id;

  async function ask(content: string, schema: Record<string, unknown>, extra: object): Promise<Told> {
    const stream = await client.chat.completions.create({
      ...{ model, messages: [{ role: 'user', content }], stream: true, max_tokens: maxTokens, seed: 3 },
      response_format: { type: 'json_schema', json_schema: { name: 'answer', schema, strict: true } },
      ...extra,
    });
    let text = '';
    const prefixes: string[] = [];
    let reason: string | null = null;
    let metrics = { rounds: 0, drafted_tokens: 0, accepted_tokens: 0 };
    for await (const chunk of stream) {
      const [choice] = chunk.choices;
      text += choice?.delta.content ?? '';
      prefixes.push(text);
      reason = choice?.finish_reason ?? reason;
      metrics = (chunk as { metrics?: typeof metrics }).metrics ?? metrics;
    }
    const { rounds, drafted_tokens: drafted, accepted_tokens: accepted } = metrics;
    return { text, prefixes, reason, rounds, drafted, accepted };
  }

  const ajv = new Ajv2020({ strict: false, logger: false, validateFormats: false });
  for (const [question, schema] of questions) {
    for (const temperature of [0, 0.8]) {
      const [plain, forced, auto] = await Promise.all(
        (['none', 'grammar', 'auto'] as const).map((drafter) =>
          ask(question, schema, { temperature, speculation: { drafter } }),
        ),
      );
      for (const told of [forced!, auto!]) {
        assert.equal(told.text, plain!.text, question);
        assert.equal(told.reason, plain!.reason);
      }
      for (const prefix of auto!.prefixes) assert.ok(prefix === '' || isJsonPrefix(prefix), prefix);
      if (plain!.reason === 'stop') {
        const validate = ajv.compile(schema);
        assert.ok(validate(JSON.parse(plain!.text)), `${plain!.text}: ${ajv.errorsText(validate.errors)}`);
      }
      assert.ok(forced!.rounds < plain!.rounds && auto!.rounds < plain!.rounds, JSON.stringify(auto));
      t.diagnostic(
        `temperature ${temperature}: ${plain!.reason}, rounds ${plain!.rounds} plain, ${forced!.rounds} forced ` +
          `(${forced!.accepted} of ${forced!.drafted}), ${auto!.rounds} auto (${auto!.accepted} of ${auto!.drafted}): ` +
          plain!.text.slice(0, 120),
      );
    }
  }
});
