/** Tools and schemas against the default model in a gateway of its own, by the helpers of the official SDK. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';
import { startGateway } from '../support/gateway-process.ts';
import { realHome, realModelPath } from '../support/real-model.ts';

const parameters = {
  type: 'object',
  properties: { city: { type: 'string', enum: ['Oslo', 'Lima'] }, unit: { enum: ['C', 'F'] } },
  required: ['city', 'unit'],
  additionalProperties: false,
};

test('the default model calls tools, answers by schema, and goes through runTools to the end', async (t) => {
  const path = await realModelPath();
  if (path === null) return t.skip('the default model cannot be had here');
  const gateway = await startGateway(t, ['--model', path, '--shards', '2'], {
    env: { FORETOKEN_HOME: realHome() },
  });
  const client = new OpenAI({ baseURL: gateway.baseUrl, apiKey: 'none', maxRetries: 0 });
  const model = (await client.models.list()).data[0]!.id;
  const messages = [{ role: 'user' as const, content: 'What is the weather in Oslo?' }];
  const tool = { type: 'function' as const, function: { name: 'get_weather', parameters, strict: true } };

  await t.test('required forces a whole call with arguments of the schema', async () => {
    const answers = await Promise.all(
      (['none', 'ngram'] as const).map((drafter) =>
        client.chat.completions.create({
          ...{ model, messages, tools: [tool], tool_choice: 'required', temperature: 1, seed: 5 },
          ...{ max_tokens: 120, parallel_tool_calls: false, speculation: { drafter } },
        }),
      ),
    );
    const [plain, drafted] = answers.map(({ choices }) => choices[0]!);
    assert.equal(plain!.finish_reason, 'tool_calls');
    const [call] = plain!.message.tool_calls!;
    assert.ok(call!.type === 'function');
    const said = JSON.parse(call!.function.arguments) as { city: string; unit: string };
    assert.ok(['Oslo', 'Lima'].includes(said.city) && ['C', 'F'].includes(said.unit));
    const [again] = drafted!.message.tool_calls!;
    assert.deepEqual(again!.type === 'function' && again.function, call!.function);
    for (const { metrics } of answers as unknown as {
      metrics: { rounds: number; accepted_tokens: number };
    }[]) {
      t.diagnostic(`${metrics.rounds} rounds, ${metrics.accepted_tokens} accepted`);
    }
  });

  await t.test('json_schema holds', async () => {
    const schema = { type: 'object', properties: { answer: { type: 'integer' } }, required: ['answer'] };
    const { choices } = await client.chat.completions.create({
      ...{ model, messages: [{ role: 'user', content: 'What is 2 + 3? Answer as JSON.' }], temperature: 0 },
      ...{ max_tokens: 60, response_format: { type: 'json_schema', json_schema: { name: 'sum', schema } } },
    });
    assert.equal(choices[0]!.finish_reason, 'stop');
    assert.equal(typeof (JSON.parse(choices[0]!.message.content!) as { answer: number }).answer, 'number');
  });

  for (const choice of ['named', 'auto'] as const) {
    await t.test(`runTools completes with a ${choice} choice`, async () => {
      let runs = 0;
      const named = { type: 'function' as const, function: { name: 'get_weather' } };
      const runner = client.chat.completions.runTools({
        // So small a model talks on for ever: its first sentence is enough.
        ...{ model, messages, temperature: 0, stop: ['. ', '.\n', '\n\n'], max_tokens: 400, stream: true },
        tool_choice: choice === 'named' ? named : 'auto',
        tools: [
          {
            type: 'function',
            function: {
              ...{ name: 'get_weather', description: 'Weather of a city', parameters },
              parse: (text: string) => JSON.parse(text) as { city: string; unit: string },
              function: ({ city, unit }: { city: string; unit: string }) => {
                runs += 1;
                return `12 ${unit} and sunny in ${city}`;
              },
            },
          },
        ],
      });
      await runner.done();
      const said = runner.messages.filter(({ role }) => role !== 'user');
      t.diagnostic(`${choice}: ${runs} calls; ${JSON.stringify(said).slice(0, 400)}`);
      if (choice === 'named') assert.equal(runs, 1);
      else assert.ok((await runner.finalContent()) !== null);
    });
  }
});
