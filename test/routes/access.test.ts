/** Who may use what: API keys, their limits, the admin key, pages of other origins. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import OpenAI from 'openai';
import { Value } from 'typebox/value';
import { ErrorBody } from '../../routes/schemas.ts';
import { type KeyLimits, loadApiKeys } from '../../src/api-keys.ts';
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
  assert.equal(first.headers['x-ratelimit-remaining-tokens'], '1000');
  assert.equal(first.headers['x-ratelimit-reset-tokens'], '0ms');
  const second = await ask(secrets[0]!, { stream: true });
  // Seven of the prompt and five of the answer.
  assert.equal(second.headers['x-ratelimit-remaining-tokens'], '988');
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
