/** What OpenAI's helpers demand of a stream, one by one, over a real socket where timing or the SDK matter. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import OpenAI from 'openai';
import { Value } from 'typebox/value';
import { ChatChunk, type ChatChunkBody } from '../../routes/schemas.ts';
import { GatewayError } from '../../src/errors.ts';
import { chat, eventually, hello, listenEdge, openEdge } from '../support/edge.ts';

async function streamed(t: TestContext, fields: object, options: Parameters<typeof openEdge>[1] = {}) {
  const { app } = await openEdge(t, options);
  const answer = await app.inject({
    method: 'POST',
    url: '/v1/chat/completions',
    payload: { ...chat, stream: true, ...fields },
  });
  const data = answer.payload
    .split('\n\n')
    .filter((line) => line.startsWith('data: '))
    .map((line) => line.slice('data: '.length));
  const chunks = data.filter((line) => line !== '[DONE]').map((line) => JSON.parse(line) as ChatChunkBody);
  return { answer, data, chunks };
}

test('a stream has one head in all chunks, a role chunk first, a chunk per token, a finish chunk and [DONE]', async (t) => {
  const { answer, data, chunks } = await streamed(t, {});
  assert.equal(answer.statusCode, 200);
  assert.match(String(answer.headers['content-type']), /^text\/event-stream/);
  for (const chunk of chunks) {
    assert.ok(Value.Check(ChatChunk, chunk));
    assert.equal(chunk.object, 'chat.completion.chunk');
    assert.ok(!('usage' in chunk) && !('metrics' in chunk));
  }
  for (const key of ['id', 'created', 'model', 'system_fingerprint'] as const) {
    assert.equal(new Set(chunks.map((chunk) => chunk[key])).size, 1, key);
  }
  const deltas = chunks.map((chunk) => chunk.choices[0]!.delta);
  assert.deepEqual(deltas[0], { role: 'assistant', content: '' });
  assert.deepEqual(
    deltas.slice(1, -1).map((delta) => delta),
    hello.rounds.flat().map((content) => ({ content })),
  );
  assert.deepEqual(deltas.at(-1), {});
  assert.deepEqual(
    chunks.map((chunk) => chunk.choices[0]!.finish_reason),
    [null, null, null, null, null, null, 'stop'],
  );
  assert.equal(data.at(-1), '[DONE]');
  assert.ok(answer.payload.endsWith('data: [DONE]\n\n'));
});

test('include_usage gives usage: null before, and one last chunk without choices', async (t) => {
  const { chunks } = await streamed(t, { stream_options: { include_usage: true } });
  for (const chunk of chunks.slice(0, -1)) assert.equal(chunk.usage, null);
  assert.deepEqual(chunks.at(-1)!.choices, []);
  assert.deepEqual(chunks.at(-1)!.usage, {
    prompt_tokens: 7,
    completion_tokens: 5,
    total_tokens: 12,
    prompt_tokens_details: { cached_tokens: 2 },
    completion_tokens_details: {
      reasoning_tokens: 0,
      accepted_prediction_tokens: 3,
      rejected_prediction_tokens: 1,
    },
  });
});

test('speculation puts metrics into the last chunk, whichever that is', async (t) => {
  for (const fields of [{ speculation: {} }, { speculation: {}, stream_options: { include_usage: true } }]) {
    const { chunks } = await streamed(t, { ...fields, seed: '18446744073709551615' });
    assert.ok(chunks.slice(0, -1).every((chunk) => !('metrics' in chunk)));
    assert.equal(chunks.at(-1)!.metrics!.mean_accepted_length, 2.5);
    assert.equal(chunks.at(-1)!.metrics!.seed, '18446744073709551615');
  }
});

test('headers and role chunk come at once, heartbeats while nothing is said', async (t) => {
  const limits = { heartbeatIntervalMs: 20, stalledReaderMsMax: 1000 };
  const { origin } = await listenEdge(t, { answer: { rounds: [['x']], roundMs: 150 }, limits });
  const response = await fetch(`${origin}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-request-id': 'mine-1' },
    body: JSON.stringify({ ...chat, stream: true }),
  });
  assert.equal(response.headers.get('x-request-id'), 'mine-1');
  assert.match(response.headers.get('openai-processing-ms')!, /^\d+$/);
  assert.equal(response.headers.get('cache-control'), 'no-cache, no-transform');
  const text = await response.text();
  const [first] = text.split('\n\n');
  assert.match(first!, /"role":"assistant"/);
  const beats = text.match(/^: heartbeat$/gm) ?? [];
  assert.ok(beats.length >= 3, `${beats.length} heartbeats`);
});

test('the tokens of a round arrive in one write', async (t) => {
  const { origin } = await listenEdge(t, { answer: { rounds: [['a', 'b', 'c', 'd']], roundMs: 20 } });
  const response = await fetch(`${origin}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...chat, stream: true }),
  });
  const pieces: string[] = [];
  for await (const piece of response.body!) pieces.push(Buffer.from(piece).toString());
  assert.ok(pieces.some((piece) => (piece.match(/"content":"[abcd]"/g) ?? []).length === 4));
});

test('a start that takes long gets its headers first, and its refusal in the stream', async (t) => {
  const refusal = new GatewayError('queue_full', 'All places are taken.');
  const { answer, data } = await streamed(t, {}, { answer: { rounds: [], startMs: 1100, refusal } });
  assert.equal(answer.statusCode, 200);
  assert.equal(JSON.parse(data.at(-1)!).error.code, 'queue_full');
});

test('a refusal at the start is a plain answer with its status, also for streams', async (t) => {
  const refusal = new GatewayError('queue_full', 'All places are taken.');
  const { answer } = await streamed(t, {}, { answer: { rounds: [], refusal } });
  assert.equal(answer.statusCode, 429);
  assert.equal(answer.headers['retry-after'], '2');
  assert.equal(answer.headers['x-should-retry'], 'true');
  assert.equal(answer.json().error.type, 'rate_limit_error');
});

test('a failure in mid-stream is an error event and a closed connection without [DONE]', async (t) => {
  const logLines: string[] = [];
  const answer = { rounds: [['a']], failure: new Error('secret origin 10.0.0.5') };
  const { data, answer: raw } = await streamed(t, {}, { answer, logLines });
  const { error } = JSON.parse(data.at(-1)!);
  assert.deepEqual([error.type, error.code, error.param], ['server_error', 'internal', null]);
  assert.ok(!raw.payload.includes('[DONE]') && !raw.payload.includes('secret'));
  assert.ok(logLines.some((line) => line.includes('secret origin')));
});

test('an answer that ends without a finish is an error, not a success', async (t) => {
  const { client } = await listenEdge(t, {
    answer: { rounds: [['a']], failure: new GatewayError('shard_lost', 'A shard was lost.') },
  });
  const stream = await client.chat.completions.create({ ...chat, stream: true });
  await assert.rejects(async () => {
    for await (const _ of stream);
  }, OpenAI.APIError);
});

test("the SDK's stream helper assembles text, finish reason and usage", async (t) => {
  const { client } = await listenEdge(t);
  const stream = client.chat.completions.stream({ ...chat, stream_options: { include_usage: true } });
  const completion = await stream.finalChatCompletion();
  assert.equal(completion.choices[0]!.message.content, 'Hello wörld!');
  assert.equal(completion.choices[0]!.finish_reason, 'stop');
  assert.equal((await stream.totalUsage()).total_tokens, 12);
});

test('a client that leaves aborts its signal, in a stream and out of one', async (t) => {
  const answer = { rounds: Array.from({ length: 1000 }, () => ['x']), roundMs: 10 };
  const { client, completions } = await listenEdge(t, { answer });
  for await (const _ of await client.chat.completions.create({ ...chat, stream: true })) break;
  await eventually(() => completions.requests[0]!.signal.aborted && completions.ended === 1, 'stream ended');
  const leaving = new AbortController();
  const whole = client.chat.completions.create(chat, { signal: leaving.signal });
  whole.catch(() => {});
  await eventually(() => completions.requests.length === 2, 'second request');
  leaving.abort();
  await eventually(() => completions.requests[1]!.signal.aborted && completions.ended === 2, 'whole ended');
  assert.equal(completions.requests[1]!.signal.reason.code, 'client_gone');
});

const flood = {
  rounds: Array.from({ length: 2000 }, () => Array.from({ length: 100 }, () => 'x'.repeat(1000))),
};

/** A client that asks for a stream and never reads a byte of it. */
async function openDeafClient(t: TestContext, app: FastifyInstance): Promise<void> {
  const { port } = app.server.address() as { port: number };
  const socket = connect(port, '127.0.0.1');
  t.after(() => socket.destroy());
  socket.on('error', () => {});
  const body = JSON.stringify({ ...chat, stream: true });
  socket.write(
    'POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n' +
      `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  await once(socket, 'readable');
}

test('a slow reader holds back its answer, and one that stalls is let go', async (t) => {
  const limits = { heartbeatIntervalMs: 1000, stalledReaderMsMax: 300 };
  const { app, completions } = await listenEdge(t, { answer: flood, limits });
  await openDeafClient(t, app);
  await eventually(() => completions.ended === 1, 'the stalled answer ended');
  assert.ok(completions.pulled < 400, `${completions.pulled} rounds of 100 kB were pulled`);
  assert.equal(completions.requests[0]!.signal.reason.code, 'client_gone');
});

test('closing the app does not wait for a client that reads nothing', async (t) => {
  const { app, completions } = await listenEdge(t, { answer: flood });
  await openDeafClient(t, app);
  let seen = -1;
  for (; seen !== completions.pulled; await wait(50)) seen = completions.pulled;
  const before = Date.now();
  await app.close();
  assert.ok(Date.now() - before < 2500);
  assert.equal(completions.ended, 1);
});

test('closing the app ends answers in the making, even if the engine does not listen', async (t) => {
  const { app, client, completions } = await listenEdge(t, { answer: { rounds: [['x']], hangs: true } });
  const stream = await client.chat.completions.create({ ...chat, stream: true });
  const whole = client.chat.completions.create(chat);
  const failed = assert.rejects(whole, (error) => error instanceof OpenAI.APIError && error.status === 503);
  await eventually(() => completions.pulled === 2, 'both under way');
  const before = Date.now();
  const closed = app.close();
  await assert.rejects(async () => {
    for await (const _ of stream);
  }, /shutting down/);
  await failed;
  await closed;
  assert.ok(Date.now() - before < 1000);
});

test('choices of a stream have a role, their deltas and a finish each, and one usage at the end', async (t) => {
  const { chunks, data } = await streamed(t, {
    n: 3,
    stream_options: { include_usage: true },
    return_token_ids: true,
    speculation: {},
  });
  assert.equal(data.at(-1), '[DONE]');
  for (const chunk of chunks) assert.ok(Value.Check(ChatChunk, chunk));
  for (const index of [0, 1, 2]) {
    const own = chunks.flatMap((chunk) => chunk.choices).filter((choice) => choice.index === index);
    assert.equal(own[0]!.delta.role, 'assistant');
    assert.equal(own.filter(({ delta }) => delta.role !== undefined).length, 1);
    assert.equal(own.map(({ delta }) => delta.content ?? '').join(''), 'Hello wörld!');
    assert.deepEqual(
      own.flatMap(({ token_ids }) => token_ids ?? []),
      [100, 101, 102, 103, 104],
    );
    assert.deepEqual([own.at(-1)!.finish_reason, own.at(-1)!.metrics!.rounds], ['stop', 2]);
  }
  const prompts = chunks.filter((chunk) => chunk.prompt_token_ids !== undefined);
  assert.deepEqual(
    prompts.map((chunk) => chunk.prompt_token_ids),
    [[1, 2, 3, 4, 5, 6, 7]],
  );
  assert.deepEqual([chunks.at(-1)!.choices, chunks.at(-1)!.usage!.completion_tokens], [[], 15]);
});

test('choices of a stream come as they are ready', async (t) => {
  const answer = { rounds: [['a'], ['b'], ['c']], roundMs: 5 };
  const { chunks } = await streamed(t, { n: 2 }, { answer });
  const order = chunks.flatMap((chunk) => chunk.choices).map(({ index }) => index);
  assert.deepEqual(order.toSorted(), [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]);
  assert.ok(order.indexOf(1, 2) < order.lastIndexOf(0), `one after the other: ${order}`);
});

test('a choice that fails ends the whole answer, and the others with it', async (t) => {
  const { client, completions } = await listenEdge(t, {
    answer: { rounds: [['a']], failure: new GatewayError('shard_lost', 'Lost.') },
  });
  await assert.rejects(() => client.chat.completions.create({ ...chat, n: 2 }), OpenAI.APIError);
  await eventually(() => completions.ended === 2, 'both choices ended');
});
