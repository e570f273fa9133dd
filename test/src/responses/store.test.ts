/** What is kept, for whom and for how long; what a file of another version says. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { conversationBytesMax, createConversationStore } from '../../../src/responses/conversation-store.ts';
import { openDatabase } from '../../../src/responses/database.ts';
import type { MessageItem } from '../../../src/responses/items.ts';
import { createResponseStore, type StoreLimits } from '../../../src/responses/response-store.ts';
import { emptyResponse } from '../../support/responses.ts';

const roomy: StoreLimits = { countMax: 100, bytesMax: 2 ** 26 };

function open(t: TestContext, limits: StoreLimits = roomy, alive = true, pid = 1) {
  const database = openDatabase(':memory:');
  t.after(() => database.close());
  let clock = 0;
  const options = { database, limits, now: () => clock++ };
  const responses = createResponseStore({ ...options, pid, isAlive: () => alive });
  return { database, options, responses, conversations: createConversationStore(options) };
}

const message = (id: string, text = id): MessageItem => ({
  id,
  type: 'message',
  status: 'completed',
  role: 'user',
  content: [{ type: 'input_text', text }],
});

const done = (id: string, output: readonly MessageItem[] = []) => ({
  ...emptyResponse({ id }),
  status: 'completed' as const,
  output,
});

test('responses are their owner’s, replaced by id and gone when deleted', (t) => {
  const { responses } = open(t);
  const record = { response: done('a', [message('m')]), input: [message('i')] };
  responses.put('ann', record);
  assert.deepEqual(responses.get('ann', 'a'), record);
  assert.deepEqual(responses.findItem('ann', 'm'), message('m'));
  assert.equal(responses.get('bob', 'a'), null);
  assert.equal(responses.findItem('bob', 'm'), null);
  assert.equal(responses.delete('bob', 'a'), false);
  responses.put('ann', { ...record, input: [] });
  assert.deepEqual(responses.get('ann', 'a')!.input, []);
  assert.equal(responses.delete('ann', 'a'), true);
  assert.equal(responses.get('ann', 'a'), null);
  assert.equal(responses.findItem('ann', 'm'), null);
});

test('what was not used for longest goes first, for each owner by itself', (t) => {
  const { responses } = open(t, { ...roomy, countMax: 2 });
  responses.put('bob', { response: done('other'), input: [] });
  for (const id of ['a', 'b']) responses.put('ann', { response: done(id), input: [] });
  responses.get('ann', 'a');
  responses.put('ann', { response: done('c'), input: [] });
  assert.deepEqual(
    ['a', 'b', 'c'].map((id) => responses.get('ann', id) !== null),
    [true, false, true],
  );
  assert.notEqual(responses.get('bob', 'other'), null);
});

test('bytes are bounded too, and the newest stays whatever its size', (t) => {
  const { responses } = open(t, { ...roomy, bytesMax: 10_000 });
  for (const id of ['a', 'b', 'c', 'd']) {
    responses.put('ann', { response: done(id), input: [message('i', 'x'.repeat(3000))] });
  }
  assert.deepEqual(
    ['a', 'b', 'c', 'd'].map((id) => responses.get('ann', id) !== null),
    [false, false, true, true],
  );
  responses.put('ann', { response: done('huge'), input: [message('i', 'x'.repeat(20_000))] });
  assert.deepEqual(
    ['d', 'huge'].map((id) => responses.get('ann', id) !== null),
    [false, true],
  );
});

test('an unfinished response of a process that is gone has failed', (t) => {
  const { responses, options } = open(t);
  responses.put('ann', { response: emptyResponse({ id: 'a' }), input: [] });
  assert.equal(responses.get('ann', 'a')!.response.status, 'in_progress');
  const later = createResponseStore({ ...options, pid: 2, isAlive: () => false });
  assert.equal(later.get('ann', 'a')!.response.status, 'failed');
  const beside = createResponseStore({ ...options, pid: 2, isAlive: () => true });
  assert.equal(beside.get('ann', 'a')!.response.status, 'in_progress');
});

test('conversations keep their items in order, and are their owner’s', (t) => {
  const { conversations } = open(t);
  const conversation = { id: 'c', object: 'conversation' as const, created_at: 1, metadata: { a: 'b' } };
  conversations.create('ann', conversation, [message('1'), message('2')]);
  assert.equal(conversations.addItems('ann', 'c', [message('3'), message('1', 'new')]), true);
  assert.deepEqual(conversations.items('ann', 'c'), [message('1', 'new'), message('2'), message('3')]);
  assert.equal(conversations.deleteItem('ann', 'c', '2'), true);
  assert.equal(conversations.deleteItem('ann', 'c', '2'), false);
  assert.deepEqual(conversations.update('ann', 'c', {}), { ...conversation, metadata: {} });
  for (const gone of [
    conversations.get('bob', 'c'),
    conversations.items('bob', 'c'),
    conversations.update('bob', 'c', {}),
  ]) {
    assert.equal(gone, null);
  }
  assert.equal(conversations.addItems('bob', 'c', []), false);
  assert.equal(conversations.delete('bob', 'c'), false);
  assert.equal(conversations.delete('ann', 'c'), true);
  assert.equal(conversations.items('ann', 'c'), null);
});

test('a conversation that would be too long stays as it was; the oldest ones go', (t) => {
  const { conversations } = open(t, { ...roomy, countMax: 2 });
  for (const id of ['a', 'b', 'c']) {
    conversations.create('ann', { id, object: 'conversation', created_at: 1, metadata: {} }, []);
  }
  assert.deepEqual(
    ['a', 'b', 'c'].map((id) => conversations.get('ann', id) !== null),
    [false, true, true],
  );
  const huge = message('x', 'x'.repeat(conversationBytesMax));
  assert.throws(() => conversations.addItems('ann', 'c', [huge]), /Begin a new one/);
  assert.deepEqual(conversations.items('ann', 'c'), []);
});

test('a file of a newer version is left alone, and one that is no database is named', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'store-'));
  t.after(() => rm(folder, { recursive: true }));
  const file = path.join(folder, 'a.sqlite');
  const newer = new DatabaseSync(file);
  newer.exec('PRAGMA user_version = 99');
  newer.close();
  assert.throws(() => openDatabase(file), /newer version/);
});
