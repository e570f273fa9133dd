/** WebSocket mode: OpenAI's own client, and the plain socket of Node where its shape or its bad manners matter. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { type TestContext, test } from 'node:test';
import OpenAI from 'openai';
import { ResponsesWS } from 'openai/resources/responses/ws';
import { loadApiKeys } from '../../src/api-keys.ts';
import { GatewayError } from '../../src/errors.ts';
import { createKeyRing } from '../../src/key-ring.ts';
import { card, type EdgeOptions, eventually, listenEdge, unlimited } from '../support/edge.ts';

const model = card.id;

interface Message {
  readonly type: string;
  readonly stream_id?: string;
  readonly sequence_number?: number;
  readonly delta?: string;
  readonly status?: number;
  readonly error?: { readonly code: string; readonly param: string | null };
  readonly response?: { readonly id: string; readonly status: string; readonly output: readonly unknown[] };
}

interface Client {
  send(message: object | string): void;
  /** The next message of this kind. */
  next(matches: (message: Message) => boolean): Promise<Message>;
  /** Sends a response.create and waits for its end. */
  create(fields: object): Promise<Message>;
  readonly messages: Message[];
  readonly closed: Promise<number>;
  readonly socket: WebSocket;
}

/** Status with which an upgrade is refused. */
async function refusalOf(origin: string, headers: Readonly<Record<string, string>>): Promise<number> {
  const handshake = { 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' };
  const asked = request(`${origin}/v1/responses`, {
    headers: { upgrade: 'websocket', connection: 'upgrade', ...handshake, ...headers },
  });
  asked.end();
  const [response] = await once(asked, 'response');
  response.resume();
  return response.statusCode;
}

const isEnd = ({ type }: Message): boolean => /^(response\.(completed|incomplete|failed)|error)$/.test(type);

async function connect(t: TestContext, options: EdgeOptions = {}) {
  const edge = await listenEdge(t, options);
  return { ...edge, client: await dial(t, edge.origin) };
}

async function dial(t: TestContext, origin: string): Promise<Client> {
  const socket = new WebSocket(`${origin.replace('http', 'ws')}/v1/responses`);
  t.after(() => socket.close());
  const messages: Message[] = [];
  let seen = 0;
  socket.addEventListener('message', ({ data }) => messages.push(JSON.parse(String(data)) as Message));
  const closed = new Promise<number>((resolve) => {
    socket.addEventListener('close', ({ code }) => resolve(code));
  });
  await once(socket, 'open');
  const client: Client = {
    socket,
    messages,
    closed,
    send: (message) => socket.send(typeof message === 'string' ? message : JSON.stringify(message)),
    async next(matches) {
      await eventually(() => messages.slice(seen).some(matches), 'a message');
      const place = messages.findIndex((message, index) => index >= seen && matches(message));
      seen = place + 1;
      return messages[place]!;
    },
    create(fields) {
      client.send({ type: 'response.create', model, input: 'Hi', ...fields });
      return client.next(isEnd);
    },
  };
  return client;
}

test("OpenAI's client gets the events of a response, and goes on from it", async (t) => {
  const { client, completions } = await listenEdge(t);
  const ws = new ResponsesWS(client);
  t.after(() => ws.close());
  const ended = () =>
    new Promise<{ id: string; output_text?: string }>((resolve, reject) => {
      ws.once('response.completed', ({ response }) => resolve(response));
      ws.once('error', reject);
    });
  let text = '';
  ws.on('response.output_text.delta', ({ delta }) => {
    text += delta;
  });
  ws.send({ type: 'response.create', model, input: 'One' });
  const { id } = await ended();
  assert.equal(text, 'Hello wörld!');
  ws.send({ type: 'response.create', model, input: 'Two', previous_response_id: id });
  await ended();
  assert.equal(completions.requests[1]!.messages.length, 3);
});

test('events are those of a stream, numbered from 0, and carry the lane', async (t) => {
  const { client } = await connect(t);
  const end = await client.create({ stream_id: 'a.b-c_1' });
  assert.equal(end.type, 'response.completed');
  assert.deepEqual(
    client.messages.map(({ sequence_number }) => sequence_number),
    client.messages.map((_, index) => index),
  );
  assert.ok(client.messages.every(({ stream_id }) => stream_id === 'a.b-c_1'));
  assert.equal(client.messages[0]!.type, 'response.created');
});

test('with store false the connection goes on from its latest, another one does not', async (t) => {
  const { client, origin, completions } = await connect(t);
  const first = await client.create({ store: false });
  const id = first.response!.id;
  await client.create({ store: false, previous_response_id: id });
  assert.equal(completions.requests[1]!.messages.length, 3);
  const other = await dial(t, origin);
  const error = await other.create({ previous_response_id: id });
  assert.deepEqual(
    [error.type, error.status, error.error?.code],
    ['error', 400, 'previous_response_not_found'],
  );
});

test('a continuation that failed forgets what it went on from', async (t) => {
  let failing = false;
  const lost = new GatewayError('shard_lost', 'A shard was lost.');
  const { client } = await connect(t, {
    answer: () => ({ rounds: [['a']], ...(failing && { failure: lost }) }),
  });
  const first = await client.create({ store: false });
  const fields = { store: false, previous_response_id: first.response!.id };
  failing = true;
  const failed = await client.create(fields);
  assert.equal(failed.type, 'response.failed');
  failing = false;
  assert.equal((await client.create(fields)).error?.code, 'previous_response_not_found');
});

test('generate false warms up: a response without output to go on from', async (t) => {
  const { client, completions } = await connect(t);
  const warm = await client.create({ generate: false, store: false, input: 'Context' });
  assert.deepEqual([warm.response!.status, warm.response!.output], ['completed', []]);
  assert.equal(completions.requests.length, 0);
  await client.create({ previous_response_id: warm.response!.id, input: 'Go' });
  assert.deepEqual(
    completions.requests[0]!.messages.map(({ content }) => content),
    ['Context', 'Go'],
  );
});

test('requests of a lane wait for one another, lanes run side by side', async (t) => {
  const answer = { rounds: [['a'], ['b'], ['c']], roundMs: 20 };
  const { client, completions } = await connect(t, { answer });
  for (const stream_id of ['x', 'x', 'y'])
    client.send({ type: 'response.create', model, input: 'Hi', stream_id });
  await eventually(() => completions.requests.length === 2, 'two lanes');
  await eventually(() => client.messages.filter(isEnd).length === 3, 'three ends');
  const lane = client.messages.filter(({ stream_id }) => stream_id === 'x');
  const firstEnd = lane.findIndex(isEnd);
  assert.equal(
    lane.findLastIndex(({ type }) => type === 'response.created'),
    firstEnd + 1,
  );
});

test('messages that make no sense are errors that name the field, and the connection stays', async (t) => {
  const { client } = await connect(t);
  const cases: [object | string, string | null][] = [
    ['{', null],
    ['[]', null],
    [{ type: 'response.cancel' }, 'type'],
    [{}, 'type'],
    [{ type: 'response.create', stream_id: 'a b' }, 'stream_id'],
    [{ type: 'response.create', stream_id: 5 }, 'stream_id'],
    [{ type: 'response.create', input: 'x' }, 'model'],
    [{ type: 'response.create', model, temperature: 9 }, 'temperature'],
    [{ type: 'response.create', model, background: true }, 'background'],
    [{ type: 'response.create', model, input: [{ type: 'computer_call' }] }, 'input[0].type'],
  ];
  for (const [message, param] of cases) {
    client.send(message);
    const { type, status, error } = await client.next(() => true);
    assert.deepEqual([type, status, error?.param], ['error', 400, param], JSON.stringify(message));
  }
  const wrong = await client.create({ model: 'other', stream_id: 'z' });
  assert.deepEqual([wrong.status, wrong.error?.code, wrong.stream_id], [404, 'model_not_found', 'z']);
  assert.equal((await client.create({})).type, 'response.completed');
});

test('steering is refused in its own shape', async (t) => {
  const { client } = await connect(t);
  client.send({ type: 'response.steer', previous_response_id: 'resp_1', input: 'left' });
  const failed = await client.next(() => true);
  assert.deepEqual([failed.type, failed.error?.code], ['response.steer.failed', 'steering_not_supported']);
});

test('an engine that refuses is an error with its status, one that fails midway a failed response', async (t) => {
  let answer: object = { refusal: new GatewayError('queue_full', 'Full.') };
  const { client } = await connect(t, { answer: () => ({ rounds: [['a']], ...answer }) });
  const full = await client.create({});
  assert.deepEqual([full.type, full.status, full.error?.code], ['error', 429, 'queue_full']);
  answer = { failure: new GatewayError('shard_lost', 'Lost.') };
  const failed = await client.create({});
  assert.deepEqual([failed.type, failed.response?.status], ['response.failed', 'failed']);
});

test('a client that leaves stops its engines', async (t) => {
  const answer = { rounds: Array.from({ length: 1000 }, () => ['x']), roundMs: 5 };
  const { client, completions } = await connect(t, { answer });
  for (const stream_id of ['a', 'b']) client.send({ type: 'response.create', model, input: 'Hi', stream_id });
  await eventually(() => completions.pulled > 3, 'under way');
  client.socket.close();
  await eventually(() => completions.ended === 2, 'both ended');
});

test('a drain ends answers with an error and the socket with 1012', async (t) => {
  const { client, app, completions } = await connect(t, { answer: { rounds: [['x']], hangs: true } });
  client.send({ type: 'response.create', model, input: 'Hi' });
  await eventually(() => completions.pulled === 1, 'under way');
  const before = Date.now();
  const closed = app.close();
  assert.equal((await client.next(isEnd)).type, 'response.failed');
  assert.equal(await client.closed, 1012);
  await closed;
  assert.ok(Date.now() - before < 1500);
});

test('an old connection is told so, and closed with a code on which clients connect anew', async (t) => {
  const { client } = await connect(t, { connectionLifetimeMs: 50 });
  const error = await client.next(() => true);
  assert.deepEqual([error.status, error.error?.code], [400, 'websocket_connection_limit_reached']);
  assert.equal(await client.closed, 1001);
});

test('more lanes than a connection may have are refused, one by one', async (t) => {
  const { client } = await connect(t, { answer: { rounds: [['x']], hangs: true } });
  for (let lane = 0; lane <= 32; lane += 1) {
    client.send({ type: 'response.create', model, input: 'Hi', stream_id: `l${lane}` });
  }
  const error = await client.next(({ type }) => type === 'error');
  assert.deepEqual([error.status, error.error?.code], [429, 'queue_full']);
});

test('the answer to an upgrade names its request', async (t) => {
  const { origin } = await listenEdge(t);
  const upgrade = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' };
  const asked = request(`${origin}/v1/responses`, {
    headers: { ...upgrade, 'sec-websocket-key': 'MDEyMzQ1Njc4OWFiY2RlZg==', 'x-request-id': 'mine-1' },
  });
  asked.end();
  const [response, socket] = await once(asked, 'upgrade');
  assert.deepEqual([response.statusCode, response.headers['x-request-id']], [101, 'mine-1']);
  socket.destroy();
});

test('a connection belongs to its key, and needs one where there are keys', async (t) => {
  const [first, second] = ['first-secret-key-1', 'second-secret-key-2'];
  const keys = createKeyRing(await loadApiKeys(`${first},${second}`, unlimited), unlimited, () => 0);
  const { origin, completions } = await listenEdge(t, { keys });
  assert.equal(await refusalOf(origin, {}), 401);
  const ws = new ResponsesWS(new OpenAI({ baseURL: `${origin}/v1`, apiKey: first! }));
  t.after(() => ws.close());
  ws.send({ type: 'response.create', model, input: 'One' });
  await new Promise((resolve) => ws.once('response.completed', resolve));
  assert.match(completions.requests[0]!.owner, /./);
  assert.notEqual(completions.requests[0]!.owner, 'anonymous');
});

test('pages of other origins, too large messages and plain requests get nowhere', async (t) => {
  const { origin, client, app } = await connect(t);
  assert.equal(await refusalOf(origin, { origin: 'https://evil.org' }), 403);
  const plain = await app.inject('/v1/responses');
  assert.deepEqual([plain.statusCode, plain.json().error.code], [426, 'upgrade_required']);
  client.send('x'.repeat(5 * 2 ** 20));
  assert.equal(await client.closed, 1009);
});

test('a request that offers another protocol is answered all the same', async (t) => {
  const { origin } = await listenEdge(t);
  const body = JSON.stringify({ model, input: 'Hi' });
  const posted = request(`${origin}/v1/responses`, {
    method: 'POST',
    headers: {
      ...{ upgrade: 'h2c', connection: 'Upgrade, HTTP2-Settings', 'http2-settings': '' },
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
    },
  });
  posted.end(body);
  const [response] = await once(posted, 'response');
  assert.equal(response.statusCode, 200);
  response.resume();
});
