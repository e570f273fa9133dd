/** Whatever a client sends to the Responses and Conversations APIs: an answer below 500, and errors in their shape. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Value } from 'typebox/value';
import { ConversationRequest, ResponseRequest } from '../../routes/response-schemas.ts';
import { ErrorBody } from '../../routes/schemas.ts';
import { card, openEdge } from '../support/edge.ts';

const plausible = fc.constantFrom<unknown>(
  ...[
    null,
    true,
    false,
    0,
    1,
    -1,
    1e9,
    0.5,
    '',
    'auto',
    'x',
    'text',
    'resp_1',
    {},
    [],
    [{}],
    { type: 'text' },
  ],
  ...[
    { format: { type: 'json_schema' } },
    [{ type: 'message', role: 'user', content: 'a' }],
    [{ id: 'msg_1' }],
  ],
  ...[
    [{ role: 'user', content: [{ type: 'input_text' }] }],
    [{ type: 'reasoning', summary: [{}] }],
    { id: 'c' },
  ],
);
const value = fc.oneof(
  { weight: 3, arbitrary: plausible },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
);
const bodyOf = (names: readonly string[]) =>
  fc.dictionary(fc.oneof(fc.constantFrom(...names), fc.string({ maxLength: 8 })), value, { maxKeys: 5 });

const responses = bodyOf(Object.keys(ResponseRequest.properties)).map((body) => ({
  url: '/v1/responses',
  body: { input: 'Hi', ...body, model: body['model'] ?? card.id },
}));
const counts = responses.map(({ body }) => ({ url: '/v1/responses/input_tokens', body }));
const conversations = bodyOf(Object.keys(ConversationRequest.properties)).map((body) => ({
  url: '/v1/conversations',
  body,
}));

test('a request is never our fault, and errors have their shape', async (t) => {
  const { app } = await openEdge(t);
  await fc.assert(
    fc.asyncProperty(fc.oneof(responses, counts, conversations), async ({ url, body }) => {
      const answer = await app.inject({ method: 'POST', url, payload: JSON.stringify(body), headers: json });
      assert.ok(answer.statusCode < 500, answer.payload);
      if (answer.statusCode >= 400) assert.ok(Value.Check(ErrorBody, answer.json()), answer.payload);
    }),
    { numRuns: 400 },
  );
});

const json = { 'content-type': 'application/json' };
