/** Chats that were kept: read, listed, noted on, deleted, across restarts and owners, whole and streamed. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import OpenAI from 'openai';
import { Value } from 'typebox/value';
import { StoredChatBody } from '../../routes/stored-chat-schemas.ts';
import { loadApiKeys } from '../../src/api-keys.ts';
import { createKeyRing } from '../../src/key-ring.ts';
import { createChatStore } from '../../src/responses/chat-store.ts';
import { openDatabase } from '../../src/responses/database.ts';
import { card, chat, listenEdge, openEdge, unlimited } from '../support/edge.ts';

const kept = { ...chat, store: true };

test('a chat is kept as it was answered, whole and streamed, if that was asked for', async (t) => {
  const { client, app } = await listenEdge(t);
  const whole = await client.chat.completions.create({ ...kept, metadata: { topic: 'a' }, logprobs: true });
  const { metadata, ...rest } = await client.chat.completions.retrieve(whole.id);
  assert.deepEqual(rest, whole);
  assert.deepEqual(metadata, { topic: 'a' });
  const raw = await app.inject(`/v1/chat/completions/${whole.id}`);
  assert.ok(Value.Check(StoredChatBody, raw.json()));
  const stream = client.chat.completions.stream({ ...kept, n: 2, stream_options: { include_usage: true } });
  const streamed = await stream.finalChatCompletion();
  const again = await client.chat.completions.retrieve(streamed.id);
  assert.deepEqual(
    again.choices.map(({ message, finish_reason }) => [message.content, finish_reason]),
    streamed.choices.map(({ message, finish_reason }) => [message.content, finish_reason]),
  );
  assert.deepEqual(again.usage, streamed.usage);
  const forgotten = await client.chat.completions.create(chat);
  await assert.rejects(client.chat.completions.retrieve(forgotten.id), OpenAI.NotFoundError);
});

test('stored chats are listed in both orders, page by page, by model and by their notes', async (t) => {
  const { client } = await listenEdge(t);
  const ids: string[] = [];
  for (const topic of ['a', 'b', 'a', 'a']) {
    ids.push((await client.chat.completions.create({ ...kept, metadata: { topic } })).id);
  }
  const listed = async (query: OpenAI.ChatCompletionListParams): Promise<string[]> => {
    const found: string[] = [];
    for await (const { id } of client.chat.completions.list(query)) found.push(id);
    return found;
  };
  assert.deepEqual(await listed({}), ids);
  assert.deepEqual(await listed({ order: 'desc', limit: 1 }), ids.toReversed());
  assert.deepEqual(await listed({ limit: 2, metadata: { topic: 'a' } }), [ids[0], ids[2], ids[3]]);
  assert.deepEqual(await listed({ model: card.id, after: ids[2]! }), [ids[3]]);
  assert.deepEqual(await listed({ model: 'other' }), []);
  const page = await client.chat.completions.list({ limit: 3 });
  assert.deepEqual([page.data.length, page.has_more], [3, true]);
  await assert.rejects(client.chat.completions.list({ after: 'none' }), OpenAI.BadRequestError);
});

test('notes are replaced, messages listed, and a deleted chat is gone', async (t) => {
  const { client } = await listenEdge(t);
  const messages = [
    { role: 'system' as const, content: 'Be brief.' },
    { role: 'user' as const, content: [{ type: 'text' as const, text: 'Hi' }] },
  ];
  const { id } = await client.chat.completions.create({ ...kept, messages });
  assert.deepEqual((await client.chat.completions.update(id, { metadata: { b: '2' } })).metadata, { b: '2' });
  assert.deepEqual((await client.chat.completions.retrieve(id)).metadata, { b: '2' });
  const roles: string[] = [];
  for await (const message of client.chat.completions.messages.list(id, { limit: 1 })) {
    roles.push(`${message.id} ${message.role}`);
  }
  assert.deepEqual(roles, [`${id}-0 system`, `${id}-1 user`]);
  const [last] = (await client.chat.completions.messages.list(id, { order: 'desc' })).data;
  assert.deepEqual(last!.content, messages[1]!.content);
  assert.deepEqual(await client.chat.completions.delete(id), {
    ...{ id, object: 'chat.completion.deleted', deleted: true },
  });
  for (const asked of [
    () => client.chat.completions.retrieve(id),
    () => client.chat.completions.update(id, { metadata: {} }),
    () => client.chat.completions.messages.list(id),
    () => client.chat.completions.delete(id),
  ]) {
    await assert.rejects(asked, OpenAI.NotFoundError);
  }
});

test('chats survive a restart and a store of the version before, and belong to their key', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'chats-'));
  t.after(() => rm(folder, { recursive: true }));
  const storePath = path.join(folder, 'responses.sqlite');
  openDatabase(storePath).close();
  const older = new DatabaseSync(storePath);
  older.exec('DROP TABLE chats; PRAGMA user_version = 1;');
  older.close();
  const secrets = ['first-secret-key-1', 'second-secret-key-2'];
  const keys = createKeyRing(await loadApiKeys(secrets.join(','), unlimited), unlimited, () => 0);
  const clientOf = (origin: string, key: number) =>
    new OpenAI({ baseURL: `${origin}/v1`, apiKey: secrets[key]!, maxRetries: 0 });
  const first = await listenEdge(t, { storePath, keys });
  const { id } = await clientOf(first.origin, 0).chat.completions.create(kept);
  await first.app.close();
  const second = await listenEdge(t, { storePath, keys });
  assert.equal((await clientOf(second.origin, 0).chat.completions.retrieve(id)).id, id);
  const stranger = clientOf(second.origin, 1).chat.completions;
  await assert.rejects(stranger.retrieve(id), OpenAI.NotFoundError);
  await assert.rejects(stranger.delete(id), OpenAI.NotFoundError);
  assert.deepEqual((await stranger.list()).data, []);
});

test('the oldest chats of an owner go beyond its count and its bytes, and a store that fails fails no answer', async (t) => {
  const database = openDatabase(':memory:');
  const store = createChatStore(database, { countMax: 2, bytesMax: 1000 });
  const add = (owner: string, id: string, bytes = 10): void =>
    store.add(owner, { id, model: 'm', metadata: {}, completion: 'x'.repeat(bytes), messages: '[]' });
  const ids = (owner: string): string[] =>
    store
      .list(owner, { after: null, model: null, metadata: {}, newestFirst: false, limit: 100 })!
      .chats.map(({ id }) => id);
  for (const id of ['a', 'b', 'c']) add('ann', id);
  add('bob', 'd');
  assert.deepEqual([ids('ann'), ids('bob')], [['b', 'c'], ['d']]);
  add('ann', 'e', 990);
  assert.deepEqual([ids('ann'), ids('bob')], [['e'], ['d']]);
  database.close();
  const logLines: string[] = [];
  const edge = await openEdge(t, { logLines });
  edge.database.exec('DROP TABLE chats');
  const answer = await edge.app.inject({ method: 'POST', url: '/v1/chat/completions', payload: kept });
  assert.equal(answer.statusCode, 200);
  assert.ok(logLines.some((line) => line.includes('could not be stored')));
});
