/** What every answer has to have, and the answers to everything that is no chat. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { Value } from 'typebox/value';
import { bodyBytesMax, ErrorBody } from '../../routes/schemas.ts';
import { card, chat, listenEdge, openEdge } from '../support/edge.ts';

const url = '/v1/chat/completions';
const json = { 'content-type': 'application/json' };

test('models are listed and described, with slashes raw and as %2F', async (t) => {
  const { app } = await openEdge(t);
  const body = {
    id: card.id,
    object: 'model',
    created: card.created,
    owned_by: 'foretoken',
    max_model_len: 512,
  };
  assert.deepEqual((await app.inject('/v1/models')).json(), { object: 'list', data: [body] });
  for (const id of ['tiny/model-1', 'tiny%2Fmodel-1', 'tiny%2fmodel-1']) {
    assert.deepEqual((await app.inject(`/v1/models/${id}`)).json(), body);
  }
  const missing = await app.inject('/v1/models/other');
  assert.deepEqual([missing.statusCode, missing.json().error.code], [404, 'model_not_found']);
});

test('health tells live, ready, loading and draining', async (t) => {
  const { app } = await openEdge(t);
  assert.deepEqual((await app.inject('/health/live')).json(), { status: 'live', detail: null });
  assert.deepEqual((await app.inject('/health/ready')).json(), { status: 'ready', detail: null });
  for (const state of ['loading', 'draining'] as const) {
    const { app: other } = await openEdge(t, { readiness: { state, detail: 'x' } });
    const answer = await other.inject('/health/ready');
    assert.deepEqual([answer.statusCode, answer.json()], [503, { status: state, detail: 'x' }]);
    assert.equal(answer.headers['retry-after'], '2');
    assert.equal((await other.inject('/health/live')).statusCode, 200);
  }
});

test('metrics count answers under our names and those of vLLM', async (t) => {
  const { app } = await openEdge(t);
  await app.inject({ method: 'POST', url, payload: chat });
  await app.inject({ method: 'POST', url, payload: { ...chat, model: 'x'.repeat(50) } });
  const answer = await app.inject('/metrics');
  assert.match(String(answer.headers['content-type']), /^text\/plain/);
  for (const line of [
    'foretoken_generation_tokens_total 5',
    'vllm:generation_tokens_total{model_name="tiny/model-1"} 5',
    'vllm:request_success_total{model_name="tiny/model-1",finished_reason="stop"} 1',
    'vllm:time_to_first_token_seconds_count{model_name="tiny/model-1"} 1',
    'vllm:num_requests_waiting{model_name="tiny/model-1"} 2',
    'foretoken_prediction_tokens_total{verdict="accepted"} 3',
    'foretoken_errors_total{code="model_not_found"} 1',
    'foretoken_http_responses_total{route="/v1/chat/completions",method="POST",status="404"} 1',
    'process_cpu_seconds_total',
  ]) {
    assert.ok(answer.payload.includes(line), line);
  }
  assert.ok(!answer.payload.includes('xxxxx'));
});

test('request ids are made, and sane ones of the client kept, on errors too', async (t) => {
  const { app } = await openEdge(t);
  for (const path of ['/health/live', '/nowhere', '/v1/models/none', '/%zz']) {
    const own = await app.inject({ url: path });
    assert.match(String(own.headers['x-request-id']), /^req_[0-9a-f]{32}$/, path);
    assert.match(String(own.headers['openai-processing-ms']), /^\d+$/, path);
    const kept = await app.inject({ url: path, headers: { 'x-request-id': 'abc-1.2:3' } });
    assert.equal(kept.headers['x-request-id'], 'abc-1.2:3');
  }
  for (const bad of ['', 'a b', 'ü', 'x'.repeat(129)]) {
    const answer = await app.inject({ url: '/health/live', headers: { 'x-request-id': bad } });
    assert.match(String(answer.headers['x-request-id']), /^req_/);
  }
});

test('unknown URLs are 404 and name what is served; other methods are 405 with Allow', async (t) => {
  const { app } = await openEdge(t);
  for (const path of ['/', '/chat/completions', '/v1/embeddings', '/v1/models/']) {
    const answer = await app.inject({ url: path });
    assert.equal(answer.statusCode, 404, path);
  }
  const unknown = await app.inject({ method: 'POST', url: '/v1/files', payload: '<', headers: {} });
  assert.equal(unknown.json().error.code, 'unknown_url');
  assert.match(unknown.json().error.message, /POST \/v1\/files.*POST, GET \/v1\/chat\/completions/);
  const embeddings = await app.inject({ method: 'POST', url: '/v1/embeddings', payload: { input: 'x' } });
  assert.match(embeddings.json().error.message, /no model here makes embeddings/);
  for (const path of [
    '/v1/files',
    '/v1/batches',
    '/v1/audio/speech',
    '/v1/images/generations',
    '/v1/realtime',
  ]) {
    for (const method of ['GET', 'POST', 'DELETE', 'PUT'] as const) {
      const answer = await app.inject({ method, url: path });
      assert.deepEqual(
        [answer.statusCode, answer.json().error.code],
        [404, 'unknown_url'],
        `${method} ${path}`,
      );
      assert.equal(answer.headers['x-should-retry'], 'false');
    }
  }
  const head = await app.inject({ method: 'HEAD', url: '/v1/models' });
  assert.deepEqual([head.statusCode, head.payload], [200, '']);
  const method = await app.inject({ method: 'GET', url: '/v1/completions' });
  assert.deepEqual([method.statusCode, method.headers['allow']], [405, 'POST']);
  const response = await app.inject({ method: 'PUT', url: '/v1/responses/resp_1' });
  assert.deepEqual([response.statusCode, response.headers['allow']], [405, 'GET, HEAD, DELETE']);
  const models = await app.inject({ method: 'DELETE', url: '/v1/models/a/b' });
  assert.deepEqual([models.statusCode, models.headers['allow']], [405, 'GET, HEAD']);
  assert.equal(
    (await app.inject({ method: 'POST', url: '/v1//chat/completions', payload: chat })).statusCode,
    200,
  );
});

test('bodies that are too large, no JSON, or malformed are 413, 415 and 400', async (t) => {
  const { app } = await openEdge(t);
  const cases: [string | undefined, Record<string, string>, number, string][] = [
    [`"${'x'.repeat(bodyBytesMax)}"`, json, 413, 'payload_too_large'],
    [JSON.stringify(chat), { 'content-type': 'text/plain' }, 415, 'unsupported_media_type'],
    [
      JSON.stringify(chat),
      { 'content-type': 'application/x-www-form-urlencoded' },
      415,
      'unsupported_media_type',
    ],
    ['{"model":', json, 400, 'invalid_request'],
    ['{"__proto__":{"a":1}}', json, 400, 'invalid_request'],
    ['', json, 400, 'invalid_request'],
    [undefined, {}, 400, 'invalid_request'],
    ['[]', json, 400, 'invalid_request'],
    ['null', json, 400, 'invalid_request'],
  ];
  for (const [payload, headers, status, code] of cases) {
    const answer = await app.inject({
      method: 'POST',
      url,
      headers,
      ...(payload !== undefined && { payload }),
    });
    assert.deepEqual([answer.statusCode, answer.json().error.code], [status, code], payload?.slice(0, 20));
    assert.ok(Value.Check(ErrorBody, answer.json()));
    assert.equal(answer.headers['x-should-retry'], 'false');
  }
});

test('a body that is nested too deeply is refused, wherever it is nested', async (t) => {
  const { app } = await openEdge(t);
  const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
  const ask = (depth: number) =>
    app.inject({
      method: 'POST',
      url,
      headers: { ...json, 'idempotency-key': `k${depth}` },
      payload: `${JSON.stringify(chat).slice(0, -1)},"x":${nested(depth)}}`,
    });
  assert.equal((await ask(127)).statusCode, 200);
  for (const depth of [128, 20_000]) {
    const answer = await ask(depth);
    assert.equal(answer.statusCode, 400);
    assert.match(answer.json().error.message, /more than 128 levels/);
  }
});

test('only loopback hosts are served without keys, unless told', async (t) => {
  const { app } = await openEdge(t);
  const { app: open } = await openEdge(t, { allowPublic: true });
  const get = (to: typeof app, host: string) => to.inject({ url: '/v1/models', headers: { host } });
  for (const host of ['localhost', 'localhost:8000', '127.0.0.1:1', '[::1]:8000', '[::1]', 'a.localhost']) {
    assert.equal((await get(app, host)).statusCode, 200, host);
  }
  for (const host of [
    'evil.org',
    'localhost.evil.org:8000',
    '10.0.0.1',
    '127.0.0.1.evil.org',
    '[::2]:80',
    'x:',
  ]) {
    const answer = await get(app, host);
    assert.deepEqual([answer.statusCode, answer.json().error.code], [403, 'host_not_allowed'], host);
    assert.equal((await get(open, host)).statusCode, 200, host);
  }
});

test('cross-origin pages get no permission', async (t) => {
  const { app } = await openEdge(t);
  const headers = { origin: 'https://evil.org', 'access-control-request-method': 'POST' };
  const preflight = await app.inject({ method: 'OPTIONS', url, headers });
  assert.equal(preflight.statusCode, 405);
  assert.equal(preflight.headers['access-control-allow-origin'], undefined);
});

test('bytes that are not HTTP get an OpenAI error and a closed connection', async (t) => {
  const { app } = await listenEdge(t);
  const { port } = app.server.address() as { port: number };
  for (const [bytes, status] of [
    ['garbage\r\n\r\n', 400],
    [`GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`, 431],
  ] as const) {
    const socket = connect(port, '127.0.0.1');
    let text = '';
    socket.on('data', (data) => {
      text += data;
    });
    socket.on('error', () => {});
    socket.write(bytes);
    await once(socket, 'close');
    assert.match(text, new RegExp(`^HTTP/1.1 ${status} `));
    assert.match(text, /x-request-id: req_/);
    assert.ok(Value.Check(ErrorBody, JSON.parse(text.split('\r\n\r\n')[1]!)));
  }
});
