/**
 * `npm start` as a user has it: the default model out of the user's own store, two embedded workers. Skipped, with a printed
 * line, where the model cannot be had.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';
import { defaultModelName } from '../../src/models/catalog.ts';
import { streamChat, textOf } from '../support/chat.ts';
import { startGateway } from '../support/gateway-process.ts';
import { realHome, realModelPath } from '../support/real-model.ts';

/** Ten seconds are promised for a quiet machine; tests run on busy ones. */
const secondStartMsMax = 60_000;

const question = {
  model: defaultModelName,
  messages: [{ role: 'user' as const, content: 'Why is the sky blue?' }],
  max_tokens: 32,
};

test('the default model', async (t) => {
  if ((await realModelPath()) === null) return t.skip('the default model cannot be had here');
  const env = { FORETOKEN_HOME: realHome() };

  const first = await startGateway(t, [], { env });
  const greedy = { ...question, temperature: 0 };
  const sampled = { ...question, temperature: 0.8, seed: 42 };
  const texts: string[] = [];
  await t.test('answers a question, the same to HTTP and SDK, greedy and sampled', async () => {
    const client = new OpenAI({ baseURL: first.baseUrl, apiKey: 'none' });
    for (const fields of [greedy, sampled]) {
      const text = textOf(await streamChat(first.baseUrl, fields));
      texts.push(text);
      const { choices } = await client.chat.completions.create(fields);
      assert.equal(choices[0]!.message.content, text);
    }
    assert.match(texts[0]!, /light|scatter|atmosphere/i);
  });
  await first.stop();

  await t.test('starts again at once, and says the same', async () => {
    const startedMs = performance.now();
    const second = await startGateway(t, [], { env });
    assert.ok(performance.now() - startedMs < secondStartMsMax);
    assert.doesNotMatch(second.stdout(), /packing|pulling|downloading|checking/);
    assert.equal(textOf(await streamChat(second.baseUrl, sampled)), texts[1]);
    await second.stop();
  });
});
