/** 500 seeded bodies that are wrong in one way or another: never a 5xx, and always OpenAI's error shape. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Value } from 'typebox/value';
import { ChatRequest, ErrorBody } from '../../routes/schemas.ts';
import { chat, openEdge } from '../support/edge.ts';

const names = [
  ...Object.keys(ChatRequest.properties),
  'tools',
  'logit_bias',
  'response_format',
  'modalities',
];
const value = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.double({ noNaN: true }),
  fc.constantFrom<unknown>('', [], {}, -1, 1e308, '__proto__', 'content', [[]], [null], { type: null }),
);
/** A right body with some fields made wrong. */
const bent = fc
  .dictionary(fc.constantFrom(...names), value, { minKeys: 1, maxKeys: 4 })
  .map((fields) => JSON.stringify({ ...chat, ...fields }));
const nested = fc.integer({ min: 1, max: 20_000 }).map((depth) => '['.repeat(depth) + ']'.repeat(depth));
/** A right body, cut or with a byte replaced. */
const broken = fc
  .tuple(fc.nat(60), fc.string({ maxLength: 3 }))
  .map(([at, text]) => JSON.stringify(chat).slice(0, at) + text);
const messages = fc
  .array(fc.record({ role: value, content: value }, { requiredKeys: [] }), { maxLength: 3 })
  .map((list) => JSON.stringify({ ...chat, messages: list }));
const body = fc.oneof(bent, messages, broken, nested, fc.string(), fc.json());

test('malformed bodies never give a 5xx and always the OpenAI error shape', async (t) => {
  const { app } = await openEdge(t);
  await fc.assert(
    fc.asyncProperty(body, async (payload) => {
      const answer = await app.inject({
        method: 'POST',
        url: '/v1/chat/completions',
        headers: { 'content-type': 'application/json' },
        payload,
      });
      assert.ok(answer.statusCode < 500, answer.payload);
      if (answer.statusCode !== 200) assert.ok(Value.Check(ErrorBody, answer.json()), answer.payload);
    }),
    { numRuns: 500, seed: 20261123 },
  );
});
