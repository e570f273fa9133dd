/** Responses after they were made: read, listed, followed, cancelled, deleted, across restarts and owners. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import OpenAI from 'openai';
import { loadApiKeys } from '../../src/api-keys.ts';
import { createKeyRing } from '../../src/key-ring.ts';
import { card, eventually, hello, listenEdge, openEdge, unlimited } from '../support/edge.ts';

import type { FakeAnswer } from '../support/fake-completions.ts';

const model = card.id;
const slow = { rounds: Array.from({ length: 400 }, () => ['x']), roundMs: 5 };

async function storePath(t: TestContext): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'responses-'));
  t.after(() => rm(folder, { recursive: true }));
  return path.join(folder, 'responses.sqlite');
}

test('a stored response is read, its input listed, and both are gone after a delete', async (t) => {
  const { client } = await listenEdge(t);
  const first = await client.responses.create({ model, input: 'One' });
  const second = await client.responses.create({ model, input: 'Two', previous_response_id: first.id });
  assert.deepEqual(await client.responses.retrieve(second.id), second);
  const texts: string[] = [];
  for await (const item of client.responses.inputItems.list(second.id, { order: 'asc', limit: 1 })) {
    assert.equal(item.type, 'message');
    texts.push((item as { content: { text: string }[] }).content[0]!.text);
  }
  assert.deepEqual(texts, ['One', 'Hello wörld!', 'Two']);
  const page = await client.responses.inputItems.list(second.id, { limit: 2 });
  assert.deepEqual([page.data.length, page.has_more], [2, true]);
  await client.responses.delete(second.id);
  await assert.rejects(client.responses.retrieve(second.id), OpenAI.NotFoundError);
  await assert.rejects(client.responses.delete(second.id), OpenAI.NotFoundError);
});

test('a content type without a body is no body', async (t) => {
  const { app } = await openEdge(t);
  const made = await app.inject({ method: 'POST', url: '/v1/responses', payload: { model, input: 'a' } });
  const headers = { 'content-type': 'application/json' };
  const url = `/v1/responses/${made.json().id}`;
  assert.equal((await app.inject({ method: 'DELETE', url, headers })).statusCode, 200);
  const empty = await app.inject({ method: 'POST', url: '/v1/responses', headers });
  assert.equal(empty.statusCode, 400);
  assert.equal(empty.json().error.message, 'The body must be an object.');
});

test('cursors and limits that make no sense are refused', async (t) => {
  const { app } = await openEdge(t);
  const made = await app.inject({ method: 'POST', url: '/v1/responses', payload: { model, input: 'a' } });
  const base = `/v1/responses/${made.json().id}`;
  for (const [query, param] of [
    ['/input_items?after=none', 'after'],
    ['/input_items?limit=0', 'limit'],
    ['/input_items?limit=101', 'limit'],
    ['/input_items?order=up', 'order'],
    ['?stream=yes', 'stream'],
    ['?stream=true&starting_after=-1', 'starting_after'],
  ]) {
    const answer = await app.inject(base + query);
    assert.deepEqual([answer.statusCode, answer.json().error.param], [400, param], query);
  }
});

test('responses survive a restart, in a file that only its owner reads', async (t) => {
  const store = await storePath(t);
  const { client, app } = await listenEdge(t, { storePath: store });
  const first = await client.responses.create({ model, input: 'One' });
  const conversation = await client.conversations.create({ items: [{ role: 'user', content: 'Hello' }] });
  await app.close();
  assert.equal((await stat(store)).mode & 0o777, 0o600);
  const again = await listenEdge(t, { storePath: store });
  assert.deepEqual(await again.client.responses.retrieve(first.id), first);
  await again.client.responses.create({ model, input: 'Two', previous_response_id: first.id });
  assert.equal(again.completions.requests[0]!.messages.length, 3);
  const items = await again.client.conversations.items.list(conversation.id);
  assert.equal(items.data.length, 1);
});

test('a response that a stop of the gateway ended says that it failed', async (t) => {
  const store = await storePath(t);
  const { client, app } = await listenEdge(t, { storePath: store, answer: slow });
  const { id } = await client.responses.create({ model, input: 'One', background: true });
  await app.close();
  const again = await listenEdge(t, { storePath: store });
  const response = await again.client.responses.retrieve(id);
  assert.deepEqual([response.status, response.error?.code], ['failed', 'server_error']);
});

test('a response in the background is queued, then done, and can be followed from anywhere', async (t) => {
  const { client } = await listenEdge(t, { answer: { rounds: [['a'], ['b'], ['c']], roundMs: 20 } });
  const queued = await client.responses.create({ model, input: 'Hi', background: true });
  assert.deepEqual([queued.status, queued.output], ['queued', []]);
  const stream = await client.responses.retrieve(queued.id, { stream: true });
  const events = await Array.fromAsync(stream);
  assert.deepEqual(
    events.slice(0, 3).map(({ type }) => type),
    ['response.created', 'response.queued', 'response.in_progress'],
  );
  assert.equal(events.at(-1)!.type, 'response.completed');
  const resumed = await client.responses.retrieve(queued.id, { stream: true, starting_after: 4 });
  assert.deepEqual(await Array.fromAsync(resumed), events.slice(5));
  const done = await client.responses.retrieve(queued.id);
  assert.deepEqual([done.status, done.output_text], ['completed', 'abc']);
});

test('a stream of the background goes on without its first reader, and helpers resume it', async (t) => {
  const { client } = await listenEdge(t, { answer: { rounds: [['a'], ['b'], ['c']], roundMs: 20 } });
  let id = '';
  const live = await client.responses.create({ model, input: 'Hi', background: true, stream: true });
  for await (const event of live) {
    if (event.type === 'response.created') id = event.response.id;
    if (event.type === 'response.output_text.delta') break;
  }
  const stream = client.responses.stream({ response_id: id });
  assert.equal((await stream.finalResponse()).output_text, 'abc');
});

test('a cancelled response stops its engine, and says so however often it is asked', async (t) => {
  let answer: FakeAnswer = slow;
  const { client, completions } = await listenEdge(t, { answer: () => answer });
  const { id } = await client.responses.create({ model, input: 'Hi', background: true });
  const following = client.responses.retrieve(id, { stream: true }).then((stream) => Array.fromAsync(stream));
  await eventually(() => completions.pulled > 2, 'under way');
  const early = client.responses.create({ model, input: 'x', previous_response_id: id });
  await assert.rejects(early, /not finished yet/);
  assert.equal((await client.responses.cancel(id)).status, 'cancelled');
  assert.equal((await client.responses.cancel(id)).status, 'cancelled');
  assert.equal(completions.ended, 1);
  assert.equal((await client.responses.retrieve(id)).status, 'cancelled');
  assert.equal((await following).at(-1)!.type, 'response.incomplete');
  answer = hello;
  const foreground = await client.responses.create({ model, input: 'x' });
  await assert.rejects(client.responses.cancel(foreground.id), OpenAI.BadRequestError);
});

test('deleting a response in the background ends it', async (t) => {
  const { client, completions } = await listenEdge(t, { answer: slow });
  const { id } = await client.responses.create({ model, input: 'Hi', background: true });
  await client.responses.delete(id);
  await eventually(() => completions.ended === 1, 'the engine was told');
  await assert.rejects(client.responses.retrieve(id), OpenAI.NotFoundError);
});

test('a finished response is replayed whole, but not from an offset that nobody kept', async (t) => {
  const { client } = await listenEdge(t);
  const made = await client.responses.create({ model, input: 'Hi' });
  const events = await Array.fromAsync(await client.responses.retrieve(made.id, { stream: true }));
  assert.equal(events.at(-1)!.type, 'response.completed');
  const stream = client.responses.stream({ response_id: made.id });
  assert.equal((await stream.finalResponse()).output_text, 'Hello wörld!');
  await assert.rejects(client.responses.retrieve(made.id, { stream: true, starting_after: 3 }), (error) => {
    return error instanceof OpenAI.APIError && error.status === 410 && error.code === 'stream_offset_lost';
  });
});

test("somebody else's key sees nothing of them", async (t) => {
  const secrets = ['first-secret-key-1', 'second-secret-key-2'];
  const keys = createKeyRing(await loadApiKeys(secrets.join(','), unlimited), unlimited, () => 0);
  const { origin } = await listenEdge(t, { keys });
  const [mine, theirs] = secrets.map(
    (apiKey) => new OpenAI({ baseURL: `${origin}/v1`, apiKey, maxRetries: 0 }),
  );
  const { id } = await mine!.responses.create({ model, input: 'Hi' });
  const conversation = await mine!.conversations.create({});
  await mine!.responses.retrieve(id);
  await assert.rejects(theirs!.responses.retrieve(id), OpenAI.NotFoundError);
  await assert.rejects(theirs!.responses.delete(id), OpenAI.NotFoundError);
  await assert.rejects(
    theirs!.responses.create({ model, input: 'x', previous_response_id: id }),
    /not found/,
  );
  await assert.rejects(theirs!.conversations.retrieve(conversation.id), OpenAI.NotFoundError);
  await assert.rejects(
    theirs!.responses.create({ model, input: 'x', conversation: conversation.id }),
    /not found/,
  );
});
