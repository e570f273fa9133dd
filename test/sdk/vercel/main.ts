/** Vercel's AI SDK over its provider for OpenAI-compatible servers: text, streams, objects by schema, tools in steps. */
import assert from 'node:assert/strict';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, generateObject, generateText, stepCountIs, streamObject, streamText, tool } from 'ai';
import { z } from 'zod';

const env = process.env as Record<string, string>;
const answer = env['SDK_ANSWER']!;
const provider = createOpenAICompatible({
  name: 'foretoken',
  baseURL: env['OPENAI_BASE_URL']!,
  apiKey: env['OPENAI_API_KEY']!,
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const model = provider(env['SDK_MODEL']!);
const greedy = { model, prompt: env['SDK_PROMPT']!, temperature: 0, maxOutputTokens: 60 };

async function show(what: string, check: () => Promise<unknown>): Promise<void> {
  try {
    await check();
    console.log(`ok ${what}`);
  } catch (error) {
    process.exitCode = 1;
    console.error(`not ok ${what}: ${error instanceof Error ? error.stack : error}`);
  }
}

await show('generateText: greedy answer, usage, request id', async () => {
  const { text, finishReason, usage, response } = await generateText(greedy);
  assert.equal(text, answer);
  assert.equal(finishReason, 'stop');
  assert.equal(usage.inputTokens! + usage.outputTokens!, usage.totalTokens);
  assert.match(response.headers!['x-request-id']!, /^req_/);
});

await show('streamText: deltas, finish reason, usage', async () => {
  const result = streamText(greedy);
  let text = '';
  for await (const delta of result.textStream) text += delta;
  assert.equal(text, answer);
  assert.equal(await result.finishReason, 'stop');
  assert.ok((await result.usage).outputTokens! > 10);
});

const city = z.object({
  name: z.enum(['Paris', 'Rome', 'Oslo']),
  is_capital: z.boolean(),
  population: z.number().int().min(1).max(99),
  sights: z
    .array(z.enum(['tower', 'river', 'museum']))
    .min(1)
    .max(3),
});
const described = { ...greedy, prompt: 'Describe Paris as JSON.', maxOutputTokens: 200, schema: city };

await show('generateObject and streamObject', async () => {
  const { object, finishReason } = await generateObject(described);
  assert.deepEqual(city.parse(object), object);
  assert.equal(finishReason, 'stop');
  const stream = streamObject(described);
  let parts = 0;
  for await (const _part of stream.partialObjectStream) parts += 1;
  assert.ok(parts > 1);
  assert.deepEqual(await stream.object, object);
});

const place = z.object({ city: z.enum(['Paris', 'Rome', 'Oslo']) });
const getWeather = tool({
  description: 'The weather in a city now.',
  inputSchema: place,
  execute: async () => ({ temperature: 21 }),
});
const asked = {
  ...{ ...greedy, prompt: 'What is the weather in Paris?' },
  tools: { get_weather: getWeather },
  providerOptions: { foretoken: { parallel_tool_calls: false } },
  // The first step calls, the second tells: the default model is too small to be left the choice.
  prepareStep: ({ stepNumber }: { stepNumber: number }) => ({
    toolChoice: stepNumber === 0 ? ('required' as const) : ('none' as const),
  }),
  stopWhen: stepCountIs(2),
};

await show('generateText with tools: the call, its execution, a text after it', async () => {
  const { steps, text } = await generateText(asked);
  assert.equal(steps.length, 2);
  assert.equal(steps[0]!.finishReason, 'tool-calls');
  assert.equal(steps[0]!.toolCalls.length, 1);
  assert.equal(steps[0]!.toolCalls[0]!.toolName, 'get_weather');
  place.parse(steps[0]!.toolCalls[0]!.input);
  assert.deepEqual(steps[0]!.toolResults[0]!.output, { temperature: 21 });
  assert.ok(text.length > 0);
});

await show('streamText with tools: input deltas make up the input', async () => {
  let [deltas, input]: [string, unknown] = ['', null];
  for await (const part of streamText(asked).fullStream) {
    if (part.type === 'error') throw part.error;
    if (part.type === 'tool-input-delta') deltas += part.delta;
    if (part.type === 'tool-call') input = place.parse(part.input);
  }
  assert.deepEqual(JSON.parse(deltas), input);
});

await show('APICallError: status, body, not retried', async () => {
  const error = await generateText({ ...greedy, temperature: 3 }).then(
    () => assert.fail('answered'),
    (error: unknown) => error,
  );
  assert.ok(APICallError.isInstance(error));
  assert.equal(error.statusCode, 400);
  assert.equal(error.isRetryable, false);
  assert.match(error.message, /temperature/);
});

await show('a stream that is aborted ends, and the gateway goes on', async () => {
  const abort = new AbortController();
  const { textStream } = streamText({ ...greedy, maxOutputTokens: 2_000, abortSignal: abort.signal });
  for await (const _delta of textStream) abort.abort();
  assert.equal((await generateText(greedy)).text, answer);
});
