/** Whatever a client sends to the Responses and Conversations APIs: an answer below 500, and errors in their shape. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import fc from 'fast-check';
import { Value } from 'typebox/value';
import { ConversationRequest } from '../../routes/conversation-schemas.ts';
import { ResponseRequest } from '../../routes/response-schemas.ts';
import { ErrorBody } from '../../routes/schemas.ts';
import { card, listenEdge, openEdge } from '../support/edge.ts';

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

const messages = fc.oneof(
  responses.map(({ body }) => ({ type: 'response.create', ...body })),
  fc.record(
    { type: value, stream_id: value, previous_response_id: fc.oneof(value, fc.constant({ toString: 5 })) },
    { requiredKeys: [] },
  ),
  fc.jsonValue({ maxDepth: 2 }),
);

test('no message unsettles a connection', async (t) => {
  const { origin } = await listenEdge(t);
  const socket = new WebSocket(`${origin.replace('http', 'ws')}/v1/responses`);
  t.after(() => socket.close());
  const received: { readonly type: string; readonly status?: number; readonly stream_id?: string }[] = [];
  socket.addEventListener('message', ({ data }) => received.push(JSON.parse(String(data))));
  await once(socket, 'open');
  fc.assert(
    fc.property(messages, (message) => socket.send(JSON.stringify(message))),
    { numRuns: 300 },
  );
  const last = { type: 'response.create', model: card.id, input: 'Hi', stream_id: 'last' };
  // The lanes may be full for the moment.
  const finished = () =>
    received.some(({ type, stream_id }) => type === 'response.completed' && stream_id === 'last');
  for (let tries = 0; tries < 50 && !finished(); tries += 1) {
    socket.send(JSON.stringify(last));
    await wait(50);
  }
  assert.ok(finished());
  const faults = received.filter(({ type, status }) => type === 'error' && status! >= 500);
  assert.deepEqual(faults, []);
});

const json = { 'content-type': 'application/json' };
