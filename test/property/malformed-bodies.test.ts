/**
 * 1,000 seeded requests that are wrong in one way or another, to every route that takes a body, and raw bytes to the
 * socket: never a 5xx, never a hang, and always OpenAI's error shape.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import fc from 'fast-check';
import { Value } from 'typebox/value';
import { TextRequest } from '../../routes/completion-schemas.ts';
import { ResponseRequest } from '../../routes/response-schemas.ts';
import { ChatRequest, ErrorBody } from '../../routes/schemas.ts';
import { card, chat, listenEdge, openEdge } from '../support/edge.ts';

/** Far more than any of these takes. */
const hangMs = 5000;

interface Target {
  readonly url: string;
  /** A body that is right. */
  readonly body: Readonly<Record<string, unknown>>;
  readonly fields: readonly string[];
}

const targets: readonly Target[] = [
  {
    url: '/v1/chat/completions',
    body: chat,
    fields: [...Object.keys(ChatRequest.properties), 'tools', 'response_format', 'modalities', 'functions'],
  },
  {
    url: '/v1/completions',
    body: { model: card.id, prompt: 'x' },
    fields: [...Object.keys(TextRequest.properties), 'suffix', 'messages'],
  },
  {
    url: '/v1/responses',
    body: { model: card.id, input: 'x' },
    fields: [...Object.keys(ResponseRequest.properties), 'messages', 'n'],
  },
  {
    url: '/tokenize',
    body: { prompt: 'x' },
    fields: ['model', 'prompt', 'messages', 'add_special_tokens', 'return_token_strs'],
  },
  { url: '/detokenize', body: { tokens: [1] }, fields: ['model', 'tokens'] },
  { url: '/apply-template', body: { messages: chat.messages }, fields: ['model', 'messages'] },
];

const value = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.double({ noNaN: true }),
  fc.array(fc.integer({ min: -5, max: 400 }), { maxLength: 4 }),
  fc.record({
    type: fc.constantFrom('text', 'content', 'json_schema', 'function', 'x'),
    content: fc.string(),
  }),
  fc.constantFrom<unknown>(null, 1, 'x', false, ['x'], { a: 'b' }),
  fc.constantFrom<unknown>('', [], {}, -1, 0, 1e308, true, '__proto__', [[]], [[1]], [null], { type: null }),
);

/** [url, body as text]. */
const request = fc.constantFrom(...targets).chain(({ url, body, fields }) => {
  const right = JSON.stringify(body);
  const bent = fc
    .dictionary(fc.constantFrom(...fields), value, { minKeys: 1, maxKeys: 3 })
    .map((wrong) => JSON.stringify({ ...body, ...wrong }));
  const messages = fc
    .array(fc.record({ role: value, content: value }, { requiredKeys: [] }), { maxLength: 3 })
    .map((list) => JSON.stringify({ ...body, messages: list, input: list }));
  const broken = fc
    .tuple(fc.nat(right.length), fc.string({ maxLength: 3 }))
    .map(([at, text]) => right.slice(0, at) + text);
  const nested = fc.integer({ min: 1, max: 20_000 }).map((depth) => '['.repeat(depth) + ']'.repeat(depth));
  const payload = fc.oneof({ weight: 4, arbitrary: bent }, messages, broken, nested, fc.string(), fc.json());
  return fc.tuple(fc.constant(url), payload);
});

const headers = fc.record(
  {
    authorization: fc.constantFrom('', 'Bearer', 'Bearer x', 'Basic eA=='),
    'idempotency-key': fc.oneof(
      { weight: 20, arbitrary: fc.constantFrom('k1', 'k2', 'k3') },
      fc.constantFrom('', 'a b', 'x'.repeat(300)),
    ),
    'x-request-id': fc.constantFrom('', 'mine', '\t', 'x'.repeat(200)),
    'content-type': fc.oneof(
      { weight: 20, arbitrary: fc.constantFrom('application/json', 'application/json; charset=utf-8') },
      fc.constantFrom('text/plain', 'x', ''),
    ),
    accept: fc.constantFrom('*/*', 'text/event-stream', ''),
  },
  { requiredKeys: [] },
);

test('malformed requests never give a 5xx or a hang, and always the OpenAI error shape', async (t) => {
  const { app } = await openEdge(t);
  const statuses = new Map<number, number>();
  await fc.assert(
    fc.asyncProperty(request, headers, async ([url, payload], given) => {
      const answer = await Promise.race([
        app.inject({
          method: 'POST',
          url,
          headers: { 'content-type': 'application/json', ...given },
          payload,
        }),
        wait(hangMs, null, { ref: false }),
      ]);
      assert.ok(answer !== null, `no answer in ${hangMs} ms`);
      statuses.set(answer.statusCode, (statuses.get(answer.statusCode) ?? 0) + 1);
      assert.ok(answer.statusCode < 500, answer.payload);
      if (answer.statusCode !== 200) assert.ok(Value.Check(ErrorBody, answer.json()), answer.payload);
      else assert.ok(!answer.payload.includes('server_error'), answer.payload);
    }),
    { numRuns: 1000, seed: 20261123 },
  );
  // Were they wrong in different ways, and some right after all?
  assert.ok(
    [200, 400, 404, 409, 415].every((status) => statuses.has(status)),
    JSON.stringify([...statuses]),
  );
});

test('raw bytes on the socket are answered as HTTP errors or not at all, and the next client is served', async (t) => {
  const { app, origin } = await listenEdge(t);
  const { port } = app.server.address() as { port: number };
  const start = 'POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\n';
  const bytes = fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 200 }).map((raw) => Buffer.from(raw)),
    fc.string({ maxLength: 80 }).map((text) => Buffer.from(`${start}${text}\r\n\r\n`)),
    fc
      .uint8Array({ maxLength: 60 })
      .map((raw) =>
        Buffer.concat([
          Buffer.from(`${start}content-type: application/json\r\ncontent-length: ${raw.length}\r\n\r\n`),
          raw,
        ]),
      ),
    fc
      .constantFrom('transfer-encoding: chunked\r\n\r\nzz\r\n', 'content-length: -1\r\n\r\n')
      .map((rest) => Buffer.from(start + rest)),
  );
  await fc.assert(
    fc.asyncProperty(bytes, async (raw) => {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => {});
      let text = '';
      socket.on('data', (data) => {
        text += data;
      });
      socket.end(raw);
      const closed = await Promise.race([once(socket, 'close'), wait(hangMs, null, { ref: false })]);
      socket.destroy();
      assert.ok(closed !== null, `the connection stayed open for ${hangMs} ms`);
      if (text !== '') assert.match(text, /^HTTP\/1\.1 4\d\d /);
    }),
    { numRuns: 100, seed: 20261123 },
  );
  assert.equal((await fetch(`${origin}/health/live`)).status, 200);
});
