/**
 * Many clients, and clients that leave: who is served, who waits, who is sent away, and that nothing of a client that left
 * stays on any worker. Workers are started by hand with a known key, so that their counters can be asked.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { type IncomingMessage, request } from 'node:http';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { OpenAiErrorBody } from '../../src/errors.ts';
import { chatEvents, completeChat, postChat, textOf } from '../support/chat.ts';
import { makeHome } from '../support/e2e-home.ts';
import { type GatewayProcess, startGateway, startWorkerProcess } from '../support/gateway-process.ts';
import { eventually, gatewayLoad, workerLoad } from '../support/loads.ts';

const runningMax = 8;
const queuedMax = 2;
/** Passes that go on for so long after an end would be seen; none may. */
const quietMs = 150;

const plain = { model: 'endless', speculation: { drafter: 'none' } };

test('foretoken under load', async (t) => {
  const home = await makeHome(t);
  const model = await home.endless({ contextLength: 16_384 });
  const clusterKey = randomUUID();
  const env = { ...home.env, FORETOKEN_CLUSTER_KEY: clusterKey };
  const workers = await Promise.all(
    ['0:3', '3:6'].map((layers) => startWorkerProcess(t, ['--model', model, '--layers', layers], { env })),
  );
  const origins = workers.map(({ origin }) => origin);
  const gateway = await startGateway(
    t,
    [
      '--model',
      model,
      '--workers',
      origins.join(','),
      '--max-sessions',
      String(runningMax),
      '--max-queue',
      String(queuedMax),
      '--scheduling',
      'fcfs',
    ],
    { env },
  );
  const loads = () => Promise.all(origins.map((origin) => workerLoad(origin, clusterKey)));

  /** Every worker is as if nobody had ever come, and does nothing more. */
  async function assertIdle(): Promise<void> {
    const idle = await eventually(loads, 'idle', (all) =>
      all.every(({ sessions, kvBytes, queueFrames }) => sessions + kvBytes + queueFrames === 0),
    );
    await sleep(quietMs);
    assert.deepEqual(await loads(), idle);
    assert.deepEqual(await occupancy(gateway), { running: 0, waiting: 0 });
  }

  await t.test('a client that leaves in decode frees every worker', async () => {
    const client = new AbortController();
    const events = chatEvents(await postChat(gateway.baseUrl, { ...plain, stream: true }, client.signal));
    for (let i = 0; i < 5; i++) await events.next();
    const busy = await loads();
    assert.ok(
      busy.every(({ sessions, kvBytes }) => sessions === 1 && kvBytes > 0),
      JSON.stringify(busy),
    );
    client.abort();
    await assertIdle();
  });

  await t.test('a client that leaves a whole answer, without a stream, frees every worker', async () => {
    const client = new AbortController();
    const answer = postChat(gateway.baseUrl, plain, client.signal);
    await eventually(loads, 'busy', (all) => all.every(({ sessions }) => sessions === 1));
    client.abort();
    await assert.rejects(answer);
    await assertIdle();
  });

  await t.test('a client that leaves in prefill stops it', async () => {
    const client = new AbortController();
    const [before] = await loads();
    const content = 'Q'.repeat(15_000);
    const answer = postChat(
      gateway.baseUrl,
      { ...plain, stream: true, messages: [{ role: 'user', content }] },
      client.signal,
    );
    await eventually(loads, 'in prefill', ([first]) => first!.passes > before!.passes);
    client.abort();
    await assert.rejects(answer.then((response) => response.text()));
    await assertIdle();
    const [after] = await loads();
    const passes = after!.passes - before!.passes;
    assert.ok(passes < content.length / 64 / 2, `${passes} passes of the prefill were run`);
  });

  await t.test('eight run, two wait, and the next is told when to come back', async (t) => {
    const clients = Array.from({ length: runningMax + queuedMax }, () => new AbortController());
    const answers: Promise<Response>[] = [];
    for (const [index, { signal }] of clients.entries()) {
      answers.push(postChat(gateway.baseUrl, { ...plain, stream: true }, signal));
      const running = Math.min(index + 1, runningMax);
      await untilOccupied(gateway, running, index + 1 - running);
    }

    await t.test('429 with Retry-After, as OpenAI puts it', async () => {
      const refused = await postChat(gateway.baseUrl, plain);
      assert.equal(refused.status, 429);
      assert.match(refused.headers.get('retry-after') ?? '', /^[1-9]\d?$/);
      const { error } = (await refused.json()) as OpenAiErrorBody;
      assert.equal(error.type, 'rate_limit_error');
      assert.equal(error.code, 'queue_full');
    });

    await t.test('one that leaves the queue never reaches a worker', async () => {
      clients.at(-1)!.abort();
      await untilOccupied(gateway, runningMax, 1);
      assert.ok((await loads()).every(({ sessions }) => sessions === runningMax));
    });

    await t.test('one that waits is served once another leaves', async () => {
      clients[0]!.abort();
      const events = chatEvents(await answers.at(-2)!);
      await events.next();
      assert.ok(textOf([(await events.next()).value, (await events.next()).value]).length > 0);
      await untilOccupied(gateway, runningMax, 0);
    });

    for (const client of clients) client.abort();
    await Promise.allSettled(answers);
    await assertIdle();
  });

  await t.test('answers made at once are those made alone', async () => {
    const fields = [0, 1, 2, 3, 4].map((seed) => ({
      ...{ model: 'endless', max_tokens: 60, temperature: 0.8, seed },
      messages: [{ role: 'user', content: `Question ${seed % 3}` }],
    }));
    const together = await Promise.all(fields.map((one) => completeChat(gateway.baseUrl, one)));
    for (const [index, one] of fields.entries()) {
      const alone = await completeChat(gateway.baseUrl, one);
      assert.equal(together[index]!.choices[0]!.message.content, alone.choices[0]!.message.content);
    }
  });
});

test('a reader that does not read stops its own answer alone, and loses nothing', async (t) => {
  const home = await makeHome(t);
  // A chunk carries the model's name; with a long one the sockets between are soon full.
  const name = 'looping'.padEnd(240, '-');
  const model = await home.looping({ name });
  const gateway = await startGateway(t, ['--model', model, '--shards', '1'], home);
  const maxTokens = 12_000;
  const response = await unreadStream(t, gateway, {
    ...{ model: name, stream: true, max_tokens: maxTokens },
    speculation: { drafter: 'ngram', draft_length: 64 },
  });
  let rounds = -1;
  await eventually(
    async () => {
      const before = rounds;
      ({ rounds } = await gatewayLoad(gateway.origin));
      await sleep(quietMs);
      return { before, rounds };
    },
    'held back',
    ({ before, rounds }) => before > 0 && rounds === before,
  );
  assert.deepEqual(await occupancy(gateway), { running: 1, waiting: 0 }, 'the answer ended unread');

  const other = await completeChat(gateway.baseUrl, { model: name, max_tokens: 20 });
  assert.equal(other.usage.completion_tokens, 20);

  let text = '';
  for await (const part of response.setEncoding('utf8')) text += part as string;
  const chunks = text.split('\n\n');
  assert.equal(chunks.pop(), '');
  assert.equal(chunks.pop(), 'data: [DONE]');
  // The role before, the finish behind.
  assert.equal(chunks.length, maxTokens + 2);
});

async function unreadStream(
  t: TestContext,
  { baseUrl }: GatewayProcess,
  fields: Record<string, unknown>,
): Promise<IncomingMessage> {
  const sent = request(`${baseUrl}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
  });
  t.after(() => sent.destroy());
  sent.end(JSON.stringify({ messages: [{ role: 'user', content: 'Go round' }], temperature: 0, ...fields }));
  return new Promise((resolve, reject) => sent.once('response', resolve).once('error', reject));
}

async function occupancy({ origin }: GatewayProcess): Promise<{ running: number; waiting: number }> {
  const { running, waiting } = await gatewayLoad(origin);
  return { running, waiting };
}

async function untilOccupied(gateway: GatewayProcess, running: number, waiting: number): Promise<void> {
  await eventually(
    () => occupancy(gateway),
    `${running} running and ${waiting} waiting`,
    (now) => now.running === running && now.waiting === waiting,
  );
}
