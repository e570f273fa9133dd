/**
 * The official SDKs against a real gateway: whoever asks, and however, gets the text that plain HTTP gets, and errors as
 * the classes that OpenAI's would be.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import OpenAI, { BadRequestError, NotFoundError } from 'openai';
import type { ChatCompletionCreateParamsNonStreaming } from 'openai/resources/chat/completions';
import type { CompletionUsage } from 'openai/resources/completions';
import type { ChatChunkBody } from '../../routes/schemas.ts';
import { completeChat, streamChat, textOf } from '../support/chat.ts';
import { makeHome } from '../support/e2e-home.ts';
import { startGateway } from '../support/gateway-process.ts';
import { installPythonSdk } from '../support/python-sdk.ts';

const messages = [
  { role: 'system' as const, content: 'You are brief.' },
  { role: 'user' as const, content: 'Grüße aus 東京 🙂: why is the sky blue?' },
];
const common = { model: 'tiny', messages, max_tokens: 60 };
const fields = [
  { ...common, temperature: 0 },
  { ...common, temperature: 0.8, seed: 7 },
  { ...common, temperature: 1.3, top_p: 0.9, seed: 8 },
] satisfies ChatCompletionCreateParamsNonStreaming[];
/** Of the tiny model in this test. */
const contextLength = 2048;

test('official SDKs', async (t) => {
  const installing = installPythonSdk(t);
  const home = await makeHome(t);
  const gateway = await startGateway(t, ['--model', await home.tiny()], home);
  const client = new OpenAI({ baseURL: gateway.baseUrl, apiKey: 'none', maxRetries: 0 });

  const plain = await Promise.all(fields.map((one) => completeChat(gateway.baseUrl, one)));
  const texts = plain.map(({ choices }) => choices[0]!.message.content);
  assert.equal(new Set(texts).size, fields.length, 'the cases do not tell apart');

  await t.test('a stream over plain HTTP has the text of the whole answer', async () => {
    for (const [index, one] of fields.entries())
      assert.equal(textOf(await streamChat(gateway.baseUrl, one)), texts[index]);
  });

  await t.test('Node: whole, stream and helper', async () => {
    for (const [index, one] of fields.entries()) {
      const whole = await client.chat.completions.create(one);
      assert.equal(whole.choices[0]!.message.content, texts[index]);
      assert.deepEqual(counted(whole.usage), counted(plain[index]!.usage));
      let streamed = '';
      for await (const { choices } of await client.chat.completions.create({ ...one, stream: true }))
        streamed += choices[0]?.delta.content ?? '';
      assert.equal(streamed, texts[index]);
      const helper = client.chat.completions.stream({ ...one, stream_options: { include_usage: true } });
      assert.equal(await helper.finalContent(), texts[index]);
      assert.deepEqual(counted(await helper.totalUsage()), counted(plain[index]!.usage));
    }
  });

  await t.test('Python: sync, stream and async, and its errors', async (t) => {
    const python = await installing;
    if (typeof python === 'string') return t.skip(python);
    const script = fileURLToPath(new URL('openai-sdk.py', import.meta.url));
    const report = await python.run(script, [gateway.baseUrl, JSON.stringify(fields)]);
    const refused = { kind: 'BadRequestError', status: 400 };
    assert.deepEqual(report, {
      texts: texts.map((text) => [text, text, text, text]),
      usages: plain.map(({ usage }) => [usage.completion_tokens, usage.completion_tokens]),
      models: ['tiny'],
      long: { ...refused, code: 'context_length_exceeded', param: 'max_tokens' },
      unknown: { kind: 'NotFoundError', status: 404, code: 'model_not_found', param: 'model' },
      audio: { ...refused, code: 'unsupported_parameter', param: 'modalities' },
    });
  });

  await t.test('usage comes in a chunk of its own, and only if asked for', async () => {
    const chunks = (await streamChat(gateway.baseUrl, {
      ...fields[0],
      stream_options: { include_usage: true },
    })) as ChatChunkBody[];
    const usageChunk = chunks.at(-2)!;
    assert.deepEqual(usageChunk.choices, []);
    assert.deepEqual(counted(usageChunk.usage), counted(plain[0]!.usage));
    assert.ok(chunks.slice(0, -2).every(({ usage }) => usage === null));
    const without = (await streamChat(gateway.baseUrl, fields[0]!)).slice(0, -1) as ChatChunkBody[];
    assert.ok(without.every((chunk) => !('usage' in chunk)));
  });

  await t.test('metrics come when speculation was sent, in the last chunk', async () => {
    assert.equal(plain[0]!.metrics, undefined);
    const asked = { ...fields[0], speculation: { drafter: 'ngram', draft_length: 8 } };
    const { metrics } = await completeChat(gateway.baseUrl, asked);
    const chunks = (await streamChat(gateway.baseUrl, asked)).slice(0, -1) as ChatChunkBody[];
    assert.deepEqual(Object.keys(chunks.at(-1)!.metrics ?? {}), Object.keys(metrics ?? {}));
    assert.ok(chunks.slice(0, -1).every((chunk) => chunk.metrics === undefined));
    assert.ok(metrics !== undefined && metrics.rounds > 0 && metrics.time_to_first_token_ms > 0);
    assert.ok(metrics.accepted_tokens <= metrics.drafted_tokens);
  });

  await t.test(
    'predictions, right, wrong and empty, leave the text alone and are accounted for',
    async () => {
      const content = texts[0]!;
      for (const prediction of [content, 'something else entirely', '']) {
        const { choices, usage } = await client.chat.completions.create({
          ...fields[0]!,
          prediction: { type: 'content', content: prediction },
        });
        assert.equal(choices[0]!.message.content, content);
        const { accepted_prediction_tokens: accepted, rejected_prediction_tokens: rejected } =
          usage!.completion_tokens_details!;
        assert.equal(usage!.completion_tokens, plain[0]!.usage.completion_tokens + rejected!);
        assert.equal(usage!.total_tokens, usage!.prompt_tokens + usage!.completion_tokens);
        if (prediction === content)
          assert.ok(accepted! > plain[0]!.usage.completion_tokens / 2, `${accepted}`);
        if (prediction === '') assert.deepEqual([accepted, rejected], [0, 0]);
      }
    },
  );

  await t.test('what does not fit the context is refused with its name', async () => {
    const tooLong = [{ role: 'user' as const, content: 'Q'.repeat(contextLength) }];
    for (const [change, param] of [
      [{ messages: tooLong }, 'messages'],
      [{ max_tokens: contextLength }, 'max_tokens'],
    ] as const) {
      await assert.rejects(
        client.chat.completions.create({ ...fields[0]!, ...change }),
        (error) =>
          error instanceof BadRequestError &&
          error.code === 'context_length_exceeded' &&
          error.param === param &&
          error.message.includes(String(contextLength)),
      );
    }
  });

  await t.test('models are listed with their room', async () => {
    const [model] = (await client.models.list()).data as (OpenAI.Model & { max_model_len: number })[];
    assert.equal(model!.id, 'tiny');
    assert.equal(model!.max_model_len, contextLength);
    assert.equal((await client.models.retrieve('tiny')).id, 'tiny');
    await assert.rejects(client.models.retrieve('nobody'), NotFoundError);
  });
});

/** Usage less what depends on who asked before. */
function counted(usage: CompletionUsage | null | undefined): object {
  const { prompt_tokens_details: _cached, ...rest } = usage!;
  return rest;
}
