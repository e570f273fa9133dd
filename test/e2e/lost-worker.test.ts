/**
 * kill -9 of a worker in mid-answer: whoever reads is told in OpenAI's words, everybody else at once and when to come back,
 * and the gateway serves again as soon as the worker is back.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import OpenAI, { APIError, InternalServerError } from 'openai';
import type { OpenAiErrorBody } from '../../src/errors.ts';
import { chatEvents, completeChat, postChat } from '../support/chat.ts';
import { makeHome } from '../support/e2e-home.ts';
import { startGateway, startWorkerProcess } from '../support/gateway-process.ts';
import { eventually } from '../support/loads.ts';
import { processTree } from '../support/process-tree.ts';

/** A refusal comes without waiting for anything; far above what a busy machine needs for it. */
const refusalMsMax = 2_000;

const fields = { model: 'endless', speculation: { drafter: 'none' } } as const;
const messages = [{ role: 'user' as const, content: 'Why is the sky blue?' }];
const short = { model: 'endless', messages, temperature: 0, max_tokens: 50 } as const;

test('kill -9 of a worker that was started by hand', async (t) => {
  const home = await makeHome(t);
  const model = await home.endless();
  const env = { ...home.env, FORETOKEN_CLUSTER_KEY: randomUUID() };
  const worker = (layers: string, port = 0) =>
    startWorkerProcess(t, ['--model', model, '--layers', layers], { env, port });
  const [first, tail] = await Promise.all([worker('0:3'), worker('3:6')]);
  const gateway = await startGateway(t, ['--model', model, '--workers', `${first.origin},${tail.origin}`], {
    env,
  });
  const client = new OpenAI({ baseURL: gateway.baseUrl, apiKey: 'none', maxRetries: 0 });
  const expected = (await completeChat(gateway.baseUrl, { ...fields, max_tokens: 50 })).choices[0]!.message;
  const readiness = () => fetch(`${gateway.origin}/health/ready`);

  for (const [name, lost, layers] of [
    ['the tail', tail, '3:6'],
    ['the first', first, '0:3'],
  ] as const) {
    await t.test(`${name}: a stream ends with an error chunk, and the SDK raises it`, async () => {
      const raw = chatEvents(await postChat(gateway.baseUrl, { ...fields, stream: true }));
      const sdk = await client.chat.completions.create({
        ...{ model: 'endless', messages, temperature: 0, stream: true },
        ...({ speculation: fields.speculation } as object),
      });
      const read = sdk[Symbol.asyncIterator]();
      for (let i = 0; i < 5; i++) await Promise.all([raw.next(), read.next()]);
      lost.kill('SIGKILL');

      let last: unknown;
      for await (const event of raw) last = event;
      const { error } = last as OpenAiErrorBody;
      assert.equal(error.type, 'server_error');
      assert.equal(error.code, 'shard_lost');
      assert.match(error.message, /lost.*again/i);
      assert.ok(!error.message.includes(lost.origin), 'origins of workers are not for clients');
      await assert.rejects(
        async () => {
          while ((await read.next()).done !== true);
        },
        (raised) => raised instanceof APIError && raised.code === 'shard_lost',
      );
    });

    await t.test(`${name}: others are refused at once, with when to come back`, async () => {
      const startedMs = performance.now();
      const [ready, refused] = await Promise.all([readiness(), postChat(gateway.baseUrl, fields)]);
      assert.ok(performance.now() - startedMs < refusalMsMax);
      for (const response of [ready, refused]) {
        assert.equal(response.status, 503);
        assert.match(response.headers.get('retry-after') ?? '', /^[1-9]\d?$/);
      }
      assert.ok(((await refused.json()) as OpenAiErrorBody).error.code.length > 0);
      await assert.rejects(
        client.chat.completions.create({ model: 'endless', messages }),
        (raised) => raised instanceof InternalServerError && raised.status === 503,
      );
      assert.equal((await fetch(`${gateway.origin}/health/live`)).status, 200);
    });

    await t.test(`${name}: a request made meanwhile is answered by retries, once it is back`, async () => {
      const patient = new OpenAI({ baseURL: gateway.baseUrl, apiKey: 'none', maxRetries: 20 });
      const meanwhile = patient.chat.completions.create(short);
      await worker(layers, Number(new URL(lost.origin).port));
      // Known to the gateway within half a second: the SDK's two retries are enough.
      const afterwards = new OpenAI({ baseURL: gateway.baseUrl, apiKey: 'none' }).chat.completions.create(
        short,
      );
      for (const { choices } of [await meanwhile, await afterwards])
        assert.equal(choices[0]!.message.content, expected.content);
      assert.equal((await readiness()).status, 200);
    });
  }
});

test('kill -9 of an idle embedded worker is noticed, and it comes back by itself', async (t) => {
  const home = await makeHome(t);
  const gateway = await startGateway(t, ['--model', await home.endless()], home);
  const client = new OpenAI({ baseURL: gateway.baseUrl, apiKey: 'none', maxRetries: 20 });
  const before = await client.chat.completions.create(short);
  const [, ...workers] = processTree(gateway.pid);
  assert.equal(workers.length, 2);
  process.kill(workers[0]!, 'SIGKILL');
  await eventually(
    async () => (await fetch(`${gateway.origin}/health/ready`)).status,
    'noticed',
    (status) => status === 503,
  );
  const after = await client.chat.completions.create(short);
  assert.equal(after.choices[0]!.message.content, before.choices[0]!.message.content);
  const tree = processTree(gateway.pid);
  assert.equal(tree.length, 3);
  assert.ok(!tree.includes(workers[0]!));
  await gateway.stop();
});
