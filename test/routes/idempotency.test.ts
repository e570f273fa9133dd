/** The same request sent twice under one key is answered once. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { loadApiKeys } from '../../src/api-keys.ts';
import { GatewayError } from '../../src/errors.ts';
import { createKeyRing } from '../../src/key-ring.ts';
import { chat, type EdgeOptions, eventually, listenEdge, openEdge, unlimited } from '../support/edge.ts';

const url = '/v1/chat/completions';

async function openRepeater(t: TestContext, options: EdgeOptions = {}) {
  const edge = await openEdge(t, options);
  const send = (key: string, fields = {}, headers = {}) =>
    edge.app.inject({
      method: 'POST',
      url,
      headers: { 'idempotency-key': key, ...headers },
      payload: { ...chat, ...fields },
    });
  return { ...edge, send };
}

test('a repeated request gets the first answer, byte for byte, whole and streamed', async (t) => {
  const { send, completions } = await openRepeater(t);
  for (const [key, fields] of [
    ['whole', {}],
    ['streamed', { stream: true }],
  ] as const) {
    const first = await send(key, fields);
    const again = await send(key, fields);
    assert.equal(again.statusCode, 200);
    assert.equal(again.payload, first.payload);
    assert.equal(again.headers['content-type'], first.headers['content-type']);
    assert.deepEqual(
      [first.headers['idempotent-replayed'], again.headers['idempotent-replayed']],
      [undefined, 'true'],
    );
    assert.notEqual(again.headers['x-request-id'], first.headers['x-request-id']);
  }
  assert.equal(completions.requests.length, 2);
  assert.notEqual((await send('other')).json().id, (await send('whole')).json().id);
});

test('a repetition that overtakes its answer waits for it', async (t) => {
  const { send, completions } = await openRepeater(t, { answer: { rounds: [['a'], ['b']], roundMs: 20 } });
  const [first, second] = await Promise.all([send('k'), send('k')]);
  assert.equal(first.payload, second.payload);
  assert.equal(completions.requests.length, 1);
});

test('another body under a known key is a conflict, told not to be retried', async (t) => {
  const { send } = await openRepeater(t);
  await send('k');
  const answer = await send('k', { temperature: 0 });
  assert.deepEqual([answer.statusCode, answer.json().error.code], [409, 'idempotency_conflict']);
  assert.equal(answer.headers['x-should-retry'], 'false');
});

test('failures are not remembered: before the answer, in it, and of a client that left', async (t) => {
  const lost = new GatewayError('shard_lost', 'Lost.');
  for (const answer of [
    { rounds: [], refusal: lost },
    { rounds: [['a']], failure: lost },
  ]) {
    const { send, completions } = await openRepeater(t, { answer });
    for (const fields of [{}, { stream: true }]) {
      await send(`k${JSON.stringify(fields)}`, fields);
      await send(`k${JSON.stringify(fields)}`, fields);
    }
    assert.equal(completions.requests.length, 4);
  }
  const { client, completions } = await listenEdge(t, {
    answer: { rounds: Array.from({ length: 50 }, () => ['x']), roundMs: 10 },
  });
  const stream = await client.chat.completions.create({ ...chat, stream: true }, { idempotencyKey: 'left' });
  stream.controller.abort();
  await eventually(() => completions.ended === 1, 'the first ended');
  const again = await client.chat.completions.create({ ...chat, stream: true }, { idempotencyKey: 'left' });
  let text = '';
  for await (const chunk of again) text += chunk.choices[0]?.delta.content ?? '';
  assert.equal(text.length, 50);
});

test('keys of one owner say nothing to another', async (t) => {
  const secrets = ['first-secret-key-1', 'second-secret-key-2'];
  const keys = createKeyRing(await loadApiKeys(secrets.join(','), unlimited), unlimited, () => 0);
  const { send, completions } = await openRepeater(t, { keys });
  const [mine, theirs] = secrets.map((secret) => ({ authorization: `Bearer ${secret}` }));
  await send('k', {}, mine);
  assert.equal((await send('k', { temperature: 0 }, theirs)).statusCode, 200);
  assert.equal(completions.requests.length, 2);
});

test('keys that are none, and answers too long to remember', async (t) => {
  const { send, completions } = await openRepeater(t, {
    answer: { rounds: Array.from({ length: 30 }, () => ['x'.repeat(100_000)]) },
  });
  for (const key of ['', 'a b', 'x'.repeat(256)]) {
    const answer = await send(key);
    assert.deepEqual([answer.statusCode, answer.json().error.param], [400, 'idempotency-key'], key);
  }
  for (let i = 0; i < 2; i++) assert.ok((await send('long')).payload.length > 3_000_000);
  assert.equal(completions.requests.length, 2);
});
