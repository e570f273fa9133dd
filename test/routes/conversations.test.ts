/** Conversations through the SDK: made, filled by hand and by responses, listed, changed, deleted. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';
import { card, listenEdge, openEdge } from '../support/edge.ts';

const model = card.id;

test('a conversation is made, read, changed and deleted', async (t) => {
  const { client } = await listenEdge(t);
  const made = await client.conversations.create({ metadata: { a: 'b' } });
  assert.match(made.id, /^conv_[0-9a-f]{32}$/);
  assert.deepEqual(await client.conversations.retrieve(made.id), made);
  const updated = await client.conversations.update(made.id, { metadata: { c: 'd' } });
  assert.deepEqual(updated, { ...made, metadata: { c: 'd' } });
  const deleted = await client.conversations.delete(made.id);
  assert.deepEqual(deleted, { id: made.id, object: 'conversation.deleted', deleted: true });
  await assert.rejects(client.conversations.retrieve(made.id), OpenAI.NotFoundError);
  await assert.rejects(client.conversations.items.list(made.id), OpenAI.NotFoundError);
});

test('items are added, listed in both orders, read and deleted', async (t) => {
  const { client } = await listenEdge(t);
  const { id } = await client.conversations.create({ items: [{ role: 'user', content: 'One' }] });
  const added = await client.conversations.items.create(id, {
    items: [
      { role: 'assistant', content: 'Two' },
      { role: 'user', content: [{ type: 'input_text', text: 'Three' }] },
    ],
  });
  assert.equal(added.data.length, 2);
  const order: string[] = [];
  for await (const item of client.conversations.items.list(id, { limit: 1, order: 'asc' }))
    order.push(item.id!);
  assert.deepEqual(
    order.slice(1),
    added.data.map((item) => item.id),
  );
  const newestFirst = await client.conversations.items.list(id);
  assert.deepEqual(
    newestFirst.data.map((item) => item.id),
    order.toReversed(),
  );
  const [first] = order;
  const item = await client.conversations.items.retrieve(first!, { conversation_id: id });
  assert.equal(item.id, first);
  const rest = await client.conversations.items.delete(first!, { conversation_id: id });
  assert.equal(rest.id, id);
  await assert.rejects(
    client.conversations.items.retrieve(first!, { conversation_id: id }),
    OpenAI.NotFoundError,
  );
  assert.equal((await client.conversations.items.list(id)).data.length, 2);
});

test('a response reads its conversation, and what was said is added to it', async (t) => {
  const { client, completions } = await listenEdge(t);
  const { id } = await client.conversations.create({ items: [{ role: 'user', content: 'Before' }] });
  const response = await client.responses.create({ model, input: 'One', conversation: id });
  assert.deepEqual(response.conversation, { id });
  await client.responses.create({ model, input: 'Two', conversation: { id }, store: false });
  assert.deepEqual(
    completions.requests.at(-1)!.messages.map(({ content }) => content),
    ['Before', 'One', 'Hello wörld!', 'Two'],
  );
  assert.equal((await client.conversations.items.list(id)).data.length, 5);
  const missing = client.responses.create({ model, input: 'x', conversation: 'conv_none' });
  await assert.rejects(missing, OpenAI.NotFoundError);
});

test('bodies that make no sense are refused with their field', async (t) => {
  const { app } = await openEdge(t);
  const { id } = (await app.inject({ method: 'POST', url: '/v1/conversations', payload: {} })).json();
  const cases: [string, object, string][] = [
    ['', { items: 'x' }, 'items'],
    ['', { items: [{ type: 'image_generation_call' }] }, 'items[0].type'],
    ['', { metadata: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, 'v'])) }, 'metadata'],
    [`/${id}`, {}, 'metadata'],
    [`/${id}/items`, { items: [] }, 'items'],
    [`/${id}/items`, { items: Array(21).fill({ role: 'user', content: 'x' }) }, 'items'],
  ];
  for (const [path, payload, param] of cases) {
    const answer = await app.inject({ method: 'POST', url: `/v1/conversations${path}`, payload });
    assert.deepEqual(
      [answer.statusCode, answer.json().error.param],
      [400, param],
      JSON.stringify(payload).slice(0, 60),
    );
  }
});
