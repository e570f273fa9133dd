/**
 * 1,000 seeded requests that are wrong in one way or another, to every route that takes a body, and raw bytes to the
 * socket: never a 5xx, never a hang, and always OpenAI's error shape.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import fc from 'fast-check';
import { Value } from 'typebox/value';
import { parse } from 'yaml';
import { ErrorBody } from '../../routes/schemas.ts';
import { card, listenEdge, openEdge } from '../support/edge.ts';
import { type JsonSchema, nearlyOf } from '../support/schema-values.ts';

/** Far more than any of these takes. */
const hangMs = 5000;

interface Target {
  readonly url: string;
  /** A body that is right. */
  readonly body: Readonly<Record<string, unknown>>;
  /** The fields of its schema, and values that nearly are what they should be. */
  readonly fields: ReadonlyMap<string, fc.Arbitrary<unknown>>;
}

interface Media {
  readonly schema: { readonly $ref: string };
  readonly example?: object;
  readonly examples?: Readonly<Record<string, { readonly value: object }>>;
}

/** Fields of other endpoints and servers that each is asked for too. */
const strangers = ['messages', 'n', 'modalities', 'functions', 'suffix', 'prompt', 'image', '__proto__', 'x'];

const document = parse(await readFile(new URL('../../openapi.yaml', import.meta.url), 'utf8')) as {
  readonly components: { readonly schemas: Readonly<Record<string, JsonSchema>> };
  readonly paths: Readonly<
    Record<string, { post?: { requestBody?: { content: { 'application/json': Media } } } }>
  >;
};
const { schemas } = document.components;

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

/** Every route that takes a POST, out of the document that is checked to hold them all. */
const targets: readonly Target[] = Object.entries(document.paths)
  .filter(([, { post }]) => post !== undefined)
  .map(([path, { post }]) => {
    const url = path.replace('{id}', 'abc_1').replace('{item}', 'msg_1');
    const media = post!.requestBody?.content['application/json'];
    if (media === undefined)
      return { url, body: {}, fields: new Map(strangers.map((name) => [name, value])) };
    const example = media.example ?? Object.values(media.examples!)[0]!.value;
    const { properties = {} } = schemas[media.schema.$ref.split('/').pop()!]!;
    const own = Object.entries(properties).map(
      ([name, schema]) => [name, fc.oneof(value, nearlyOf(schema, schemas))] as const,
    );
    return {
      url,
      body: { ...example, ...('model' in example && { model: card.id }) },
      fields: new Map([...strangers.map((name) => [name, value] as const), ...own]),
    };
  });

/** [url, body as text]. */
const request = fc.constantFrom(...targets).chain(({ url, body, fields }) => {
  const right = JSON.stringify(body);
  const bent = fc
    .subarray([...fields.keys()], { minLength: 1, maxLength: 3 })
    .chain((names) => fc.tuple(...names.map((name) => fields.get(name)!.map((one) => [name, one] as const))))
    .map((wrong) => JSON.stringify({ ...body, ...Object.fromEntries(wrong) }));
  const broken = fc
    .tuple(fc.nat(right.length), fc.string({ maxLength: 3 }))
    .map(([at, text]) => right.slice(0, at) + text);
  const nested = fc.integer({ min: 1, max: 20_000 }).map((depth) => '['.repeat(depth) + ']'.repeat(depth));
  const payload = fc.oneof({ weight: 6, arbitrary: bent }, broken, nested, fc.string(), fc.json());
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
  const asked = new Set<string>();
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
      asked.add(url);
      statuses.set(answer.statusCode, (statuses.get(answer.statusCode) ?? 0) + 1);
      assert.ok(answer.statusCode < 500, answer.payload);
      if (answer.statusCode !== 200) assert.ok(Value.Check(ErrorBody, answer.json()), answer.payload);
      else assert.ok(!answer.payload.includes('server_error'), answer.payload);
    }),
    { numRuns: 1000, seed: 20261123 },
  );
  assert.equal(asked.size, targets.length);
  // Were they wrong in different ways, and some right after all?
  assert.ok(
    [200, 400, 404, 409, 415].every((status) => statuses.has(status)),
    JSON.stringify([...statuses]),
  );
});

test('raw bytes on the socket are answered as HTTP errors or not at all, and the next client is served', async (t) => {
  const { app, origin } = await listenEdge(t);
  const { port } = app.server.address() as { port: number };
  const start = (url: string): string => `POST ${url} HTTP/1.1\r\nhost: 127.0.0.1\r\n`;
  const urls = fc.constantFrom(...targets.map(({ url }) => url));
  const sized = (url: string, raw: Uint8Array): Buffer =>
    Buffer.concat([
      Buffer.from(`${start(url)}content-type: application/json\r\ncontent-length: ${raw.length}\r\n\r\n`),
      raw,
    ]);
  const bytes = fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 200 }).map((raw) => Buffer.from(raw)),
    fc
      .tuple(urls, fc.string({ maxLength: 80 }))
      .map(([url, text]) => Buffer.from(`${start(url)}${text}\r\n\r\n`)),
    fc.tuple(urls, fc.uint8Array({ minLength: 1, maxLength: 60 })).map(([url, raw]) => sized(url, raw)),
    fc
      .tuple(urls, fc.constantFrom('transfer-encoding: chunked\r\n\r\nzz\r\n', 'content-length: -1\r\n\r\n'))
      .map(([url, rest]) => Buffer.from(start(url) + rest)),
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
      if (text === '') return;
      assert.match(text, /^HTTP\/1\.1 4\d\d /);
      const [, body = ''] = text.split('\r\n\r\n');
      assert.ok(Value.Check(ErrorBody, JSON.parse(body)), text);
    }),
    { numRuns: 200, seed: 20261123 },
  );
  assert.equal((await fetch(`${origin}/health/live`)).status, 200);
});
