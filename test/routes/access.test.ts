/** Who may use what: API keys, their limits, the admin key, pages of other origins. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import OpenAI from 'openai';
import { ResponsesWS } from 'openai/resources/responses/ws';
import { Value } from 'typebox/value';
import { ErrorBody } from '../../routes/schemas.ts';
import { type KeyLimits, loadApiKeys } from '../../src/api-keys.ts';
import { GatewayError } from '../../src/errors.ts';
import { createKeyRing, type KeyRing } from '../../src/key-ring.ts';
import { chat, type EdgeOptions, eventually, listenEdge, openEdge, unlimited } from '../support/edge.ts';

const secrets = ['first-secret-key-1', 'second-secret-key-2'];
const url = '/v1/chat/completions';
const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

async function keyRing(limits: Partial<KeyLimits> = {}, now = () => 0): Promise<KeyRing> {
  const all = { ...unlimited, ...limits };
  return createKeyRing(await loadApiKeys(secrets.join(','), all), all, now);
}

async function openKeyedEdge(t: TestContext, limits: Partial<KeyLimits> = {}, options: EdgeOptions = {}) {
  return await openEdge(t, { ...options, keys: await keyRing(limits) });
}

test('with keys, what makes or tells anything is 401 without a right one', async (t) => {
  const { app, completions } = await openKeyedEdge(t);
  for (const authorization of [undefined, '', 'Bearer', 'Bearer wrong-secret-key-1', `Basic ${secrets[0]}`]) {
    for (const [method, path] of [
      ['POST', url],
      ['GET', '/v1/models'],
      ['GET', '/v1/models/a'],
    ] as const) {
      const headers = authorization === undefined ? {} : { authorization };
      const answer = await app.inject({
        method,
        url: path,
        headers,
        ...(method === 'POST' && { payload: '{' }),
      });
      assert.equal(answer.statusCode, 401, `${path} ${authorization}`);
      assert.ok(Value.Check(ErrorBody, answer.json()));
      assert.deepEqual(
        [answer.json().error.type, answer.json().error.code],
        ['invalid_request_error', 'invalid_api_key'],
      );
      assert.equal(answer.headers['www-authenticate'], 'Bearer');
      assert.equal(answer.headers['x-should-retry'], 'false');
      assert.ok(answer.headers['x-request-id'] !== undefined);
      assert.ok(!answer.payload.includes('secret'));
    }
  }
  assert.equal(completions.requests.length, 0);
  assert.equal((await app.inject('/health/live')).statusCode, 200);
});

test('a right key is served on any host, and its id owns the session', async (t) => {
  const { app, completions } = await openKeyedEdge(t);
  for (const secret of [...secrets, secrets[0]!]) {
    const headers = { ...bearer(secret), host: 'gateway.example' };
    const answer = await app.inject({ method: 'POST', url, headers, payload: chat });
    assert.equal(answer.statusCode, 200);
  }
  const owners = completions.requests.map(({ owner }) => owner);
  assert.match(owners[0]!, /^key-[0-9a-f]{16}$/);
  assert.notEqual(owners[0], owners[1]);
  assert.equal(owners[0], owners[2]);
});

test('limits of a key are told in headers, and refuse with the time to wait', async (t) => {
  const { app } = await openKeyedEdge(t, { requestsPerMin: 2, tokensPerMin: 1000 });
  const ask = (secret: string, fields = {}) =>
    app.inject({ method: 'POST', url, headers: bearer(secret), payload: { ...chat, ...fields } });
  const first = await ask(secrets[0]!);
  assert.equal(first.headers['x-ratelimit-limit-requests'], '2');
  assert.equal(first.headers['x-ratelimit-remaining-requests'], '1');
  assert.equal(first.headers['x-ratelimit-reset-requests'], '30s');
  // Seven of the prompt and five of the answer.
  assert.equal(first.headers['x-ratelimit-remaining-tokens'], '988');
  assert.equal(first.headers['x-ratelimit-reset-tokens'], '720ms');
  const second = await ask(secrets[0]!, { stream: true, max_tokens: 100 });
  // A stream's headers leave when its tokens are set aside: 1 for the prompt by its length, 100 for the answer.
  assert.equal(second.headers['x-ratelimit-remaining-tokens'], '887');
  const third = await ask(secrets[0]!);
  assert.equal(third.statusCode, 429);
  assert.deepEqual(
    [third.json().error.code, third.headers['retry-after'], third.headers['retry-after-ms']],
    ['rate_limit_exceeded', '30', '30000'],
  );
  assert.equal(third.headers['x-should-retry'], 'true');
  assert.equal(third.headers['x-ratelimit-remaining-requests'], '0');
  assert.equal((await ask(secrets[1]!)).statusCode, 200);
});

test('tokens are charged as they come, and a debt refuses the next request', async (t) => {
  const { app } = await openKeyedEdge(t, { tokensPerMin: 10 });
  const ask = () =>
    app.inject({ method: 'POST', url, headers: bearer(secrets[0]!), payload: { ...chat, n: 2 } });
  assert.equal((await ask()).statusCode, 200);
  const refused = await ask();
  assert.equal(refused.statusCode, 429);
  // 10 - 7 - 2 · 5 = -7: eight tokens until one is there, at ten a minute.
  assert.equal(refused.headers['retry-after-ms'], '48000');
});

test('tokens are set aside for the time of an answer: of requests side by side the limit holds for all together', async (t) => {
  const { app, completions } = await openKeyedEdge(
    t,
    { tokensPerMin: 250 },
    { answer: { rounds: [['a'], ['b']], roundMs: 20 } },
  );
  const ask = (fields: object, url = '/v1/chat/completions') =>
    app.inject({
      method: 'POST',
      url,
      headers: bearer(secrets[0]!),
      payload: { model: chat.model, ...fields },
    });
  const one = { messages: chat.messages, max_tokens: 100 };
  const answers = await Promise.all([ask(one), ask(one), ask(one)]);
  const refused = answers.filter(({ statusCode }) => statusCode === 429);
  assert.equal(refused.length, 1);
  assert.match(refused[0]!.json().error.message, /250 tokens per minute, asked for about 101/);
  // 250 - 2 · 101 = 48, and 101 are wanted.
  assert.equal(refused[0]!.headers['retry-after-ms'], '12720');
  assert.equal(completions.requests.length, 2);
  // What was not used came back: 250 - 3 · (7 + 2).
  const next = await ask(one);
  assert.deepEqual([next.statusCode, next.headers['x-ratelimit-remaining-tokens']], [200, '223']);
  // A batch is let in as one: it is not refused in the middle.
  const batch = await ask({ prompt: ['a', 'b', 'c', 'd', 'e'], max_tokens: 60 }, '/v1/completions');
  assert.equal(batch.statusCode, 200);
});

test('an answer that fails or is left gives back what was set aside for it', async (t) => {
  const failing = { rounds: [['a']], failure: new GatewayError('shard_lost', 'Lost.') };
  const { app } = await openKeyedEdge(t, { tokensPerMin: 200 }, { answer: failing });
  const headers = bearer(secrets[0]!);
  for (let i = 0; i < 3; i++) {
    const answer = await app.inject({ method: 'POST', url, headers, payload: { ...chat, max_tokens: 150 } });
    assert.equal(answer.statusCode, 503);
    assert.equal(answer.headers['x-ratelimit-remaining-tokens'], String(200 - 8 * (i + 1)));
  }
  const { origin, completions } = await listenEdge(t, {
    answer: { rounds: [['x']], hangs: true },
    keys: await keyRing({ tokensPerMin: 200 }),
  });
  const client = new OpenAI({ baseURL: `${origin}/v1`, apiKey: secrets[0]!, maxRetries: 0 });
  const ask = () => client.chat.completions.create({ ...chat, max_tokens: 150, stream: true });
  const stream = await ask();
  await assert.rejects(ask(), OpenAI.RateLimitError);
  stream.controller.abort();
  await eventually(() => completions.requests[0]!.signal.aborted, 'left');
  (await ask()).controller.abort();
});

test('limits hold for responses in the background, until they have ended', async (t) => {
  const { origin, completions } = await listenEdge(t, {
    answer: { rounds: [['x']], hangs: true },
    keys: await keyRing({ parallel: 1, tokensPerMin: 300 }),
  });
  const client = new OpenAI({ baseURL: `${origin}/v1`, apiKey: secrets[0]!, maxRetries: 0 });
  const begin = (fields = {}) =>
    client.responses.create({
      model: chat.model,
      input: 'Hi',
      background: true,
      max_output_tokens: 200,
      ...fields,
    });
  await assert.rejects(begin({ previous_response_id: 'resp_none' }), OpenAI.BadRequestError);
  const { id } = await begin();
  await assert.rejects(begin(), /answered at once/);
  await client.responses.cancel(id);
  await begin();
  assert.equal(completions.requests.length, 2);
});

test('limits hold for each request on a WebSocket', async (t) => {
  const { origin } = await listenEdge(t, {
    answer: { rounds: [['x']], roundMs: 20 },
    keys: await keyRing({ parallel: 1, requestsPerMin: 3, tokensPerMin: 400 }),
  });
  const client = new OpenAI({ baseURL: `${origin}/v1`, apiKey: secrets[0]!, maxRetries: 0 });
  const socket = new ResponsesWS(client);
  t.after(() => socket.close());
  const told: string[] = [];
  socket.on('event', ({ type, ...event }) => {
    if (type === 'response.completed') told.push('completed');
    if (type !== 'error') return;
    const { status, error } = event as { status?: number; error?: { message: string } };
    told.push(`${status} ${error?.message}`);
  });
  socket.on('error', () => {});
  const send = (stream_id: string, max_output_tokens = 10) =>
    socket.send({ type: 'response.create', model: chat.model, input: 'Hi', stream_id, max_output_tokens });
  send('a');
  send('b');
  await eventually(() => told.length === 2, 'one answered, one refused');
  assert.match(told[0]!, /^429 This key may have 1 requests answered at once/);
  assert.equal(told[1], 'completed');
  send('a');
  await eventually(() => told.length === 3, 'answered');
  send('a', 500);
  await eventually(() => told.length === 4, 'refused for its tokens');
  assert.match(told[3]!, /^429 .*400 tokens per minute, asked for about 501/);
  send('a');
  await eventually(() => told.length === 5, 'refused for its requests');
  assert.match(told[4]!, /^429 .*3 requests per minute/);
});

test('requests beyond the parallel limit wait for one to end, and a client that leaves frees its place', async (t) => {
  const answer = { rounds: [['x']], hangs: true };
  const { origin, completions } = await listenEdge(t, { answer, keys: await keyRing({ parallel: 1 }) });
  const client = new OpenAI({ baseURL: `${origin}/v1`, apiKey: secrets[0]!, maxRetries: 0 });
  const stream = await client.chat.completions.create({ ...chat, stream: true });
  await assert.rejects(client.chat.completions.create(chat), OpenAI.RateLimitError);
  const other = new OpenAI({ baseURL: `${origin}/v1`, apiKey: secrets[1]!, maxRetries: 0 });
  (await other.chat.completions.create({ ...chat, stream: true })).controller.abort();
  stream.controller.abort();
  await eventually(() => completions.requests.every(({ signal }) => signal.aborted), 'both left');
  (await client.chat.completions.create({ ...chat, stream: true })).controller.abort();
});

test("the SDK's defaults get through a rate limit by themselves", async (t) => {
  const { origin } = await listenEdge(t, {
    keys: await keyRing({ requestsPerMin: 600 }, () => performance.now() * 100),
  });
  const client = new OpenAI({ baseURL: `${origin}/v1`, apiKey: secrets[0]! });
  for (let i = 0; i < 5; i++) await client.chat.completions.create(chat);
});

test('metrics are for this machine, or for who has the admin key', async (t) => {
  const from = (remoteAddress: string, headers = {}) => ({ url: '/metrics', remoteAddress, headers });
  const { app } = await openKeyedEdge(t);
  assert.equal((await app.inject(from('127.0.0.1'))).statusCode, 200);
  assert.equal((await app.inject(from('::ffff:127.0.0.1'))).statusCode, 200);
  for (const foreign of [from('10.0.0.7'), from('127.0.0.1', { 'x-forwarded-for': '10.0.0.7' })]) {
    const answer = await app.inject({ ...foreign, headers: { ...foreign.headers, ...bearer(secrets[0]!) } });
    assert.deepEqual([answer.statusCode, answer.json().error.code], [403, 'access_denied']);
  }
  const adminKey = 'admin-secret-key-1';
  const { app: guarded } = await openKeyedEdge(t, {}, { adminKey });
  assert.equal((await guarded.inject(from('127.0.0.1'))).statusCode, 401);
  assert.equal((await guarded.inject(from('127.0.0.1', bearer(secrets[0]!)))).statusCode, 401);
  assert.equal((await guarded.inject(from('10.0.0.7', bearer(adminKey)))).statusCode, 200);
});

test('pages of named origins are permitted, with and without a key, and others are not', async (t) => {
  const origin = 'https://app.example';
  const { app } = await openKeyedEdge(t, {}, { corsOrigins: [origin] });
  const ask = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-stainless-os' };
  const preflight = await app.inject({ method: 'OPTIONS', url, headers: { origin, ...ask } });
  assert.equal(preflight.statusCode, 204);
  assert.equal(preflight.headers['access-control-allow-origin'], origin);
  assert.equal(preflight.headers['access-control-allow-headers'], 'x-stainless-os');
  const answer = await app.inject({
    method: 'POST',
    url,
    headers: { origin, ...bearer(secrets[0]!) },
    payload: chat,
  });
  assert.equal(answer.headers['access-control-allow-origin'], origin);
  assert.match(String(answer.headers['access-control-expose-headers']), /x-request-id/);
  const refused = await app.inject({ method: 'POST', url, headers: { origin }, payload: chat });
  assert.deepEqual([refused.statusCode, refused.headers['access-control-allow-origin']], [401, origin]);
  const streamed = await app.inject({
    method: 'POST',
    url,
    headers: { origin, ...bearer(secrets[0]!) },
    payload: { ...chat, stream: true },
  });
  assert.equal(streamed.headers['access-control-allow-origin'], origin);
  const foreign = await app.inject({
    url: '/v1/models',
    headers: { origin: 'https://evil.org', ...bearer(secrets[0]!) },
  });
  assert.equal(foreign.headers['access-control-allow-origin'], undefined);
  const unknown = await app.inject({ url: '/v1/nowhere', headers: { origin, ...bearer(secrets[0]!) } });
  assert.equal(unknown.json().error.code, 'unknown_url');
  assert.ok(!unknown.json().error.message.includes('OPTIONS'));
});

test('* permits pages of any origin', async (t) => {
  const { app } = await openEdge(t, { corsOrigins: ['*'] });
  const answer = await app.inject({ url: '/v1/models', headers: { origin: 'https://any.example' } });
  assert.equal(answer.headers['access-control-allow-origin'], '*');
});
