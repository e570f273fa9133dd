/** OpenAI's client for Node: plain, its stream helper, parsing with zod, its tool loop, Responses over SSE and WebSocket. */
import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { LengthFinishReasonError } from 'openai/error';
import { zodFunction, zodResponseFormat, zodTextFormat } from 'openai/helpers/zod';
import { ResponsesWS } from 'openai/resources/responses/ws';
import { z } from 'zod';

const { SDK_MODEL, SDK_PROMPT, SDK_ANSWER } = process.env as Record<string, string>;
const model = SDK_MODEL!;
const answer = SDK_ANSWER!;
const client = new OpenAI();
const greedy = {
  model,
  messages: [{ role: 'user' as const, content: SDK_PROMPT! }],
  temperature: 0,
  max_tokens: 60,
};
const asked = { model, input: SDK_PROMPT!, temperature: 0, max_output_tokens: 60 };

async function show(what: string, check: () => Promise<unknown>): Promise<void> {
  try {
    await check();
    console.log(`ok ${what}`);
  } catch (error) {
    process.exitCode = 1;
    console.error(`not ok ${what}: ${error instanceof Error ? error.stack : error}`);
  }
}

await show('chat answers greedily, usage adds up, a request id', async () => {
  const completion = await client.chat.completions.create(greedy);
  const [choice] = completion.choices;
  assert.equal(choice!.message.content, answer);
  assert.equal(choice!.finish_reason, 'stop');
  const { prompt_tokens, completion_tokens, total_tokens } = completion.usage!;
  assert.ok(completion_tokens > 10);
  assert.equal(prompt_tokens + completion_tokens, total_tokens);
  assert.match(completion._request_id!, /^req_/);
});

await show('headers by withResponse', async () => {
  const { data, response, request_id } = await client.chat.completions.create(greedy).withResponse();
  assert.equal(data.choices[0]!.message.content, answer);
  assert.equal(response.headers.get('x-request-id'), request_id);
  assert.match(response.headers.get('openai-processing-ms')!, /^\d+$/);
  assert.equal(response.headers.get('x-ratelimit-limit-requests'), '10000');
});

await show('stream helper: deltas, final content and usage', async () => {
  const stream = client.chat.completions.stream({ ...greedy, stream_options: { include_usage: true } });
  let text = '';
  stream.on('content', (delta) => (text += delta));
  assert.equal(await stream.finalContent(), answer);
  assert.equal(text, answer);
  assert.ok((await stream.totalUsage()).completion_tokens > 10);
});

await show('n, seed and stop', async () => {
  const drawn = { ...greedy, temperature: 1, seed: 7, n: 3 };
  const [first, second] = [
    await client.chat.completions.create(drawn),
    await client.chat.completions.create(drawn),
  ];
  const texts = first.choices.map(({ message }) => message.content);
  assert.equal(new Set(texts).size, 3);
  assert.deepEqual(
    second.choices.map(({ message }) => message.content),
    texts,
  );
  const stop = answer.slice(8, 14);
  const stopped = await client.chat.completions.create({ ...greedy, stop });
  assert.equal(stopped.choices[0]!.message.content, answer.slice(0, answer.indexOf(stop)));
  assert.equal(stopped.choices[0]!.finish_reason, 'stop');
});

await show('logprobs spell the answer', async () => {
  const stream = client.chat.completions.stream({ ...greedy, logprobs: true, top_logprobs: 3 });
  const { logprobs } = (await stream.finalChatCompletion()).choices[0]!;
  const bytes = logprobs!.content!.flatMap(({ bytes }) => bytes!);
  assert.equal(Buffer.from(bytes).toString(), answer);
  for (const { token, logprob, top_logprobs } of logprobs!.content!) {
    assert.equal(top_logprobs.length, 3);
    assert.deepEqual(
      { token, logprob },
      { token: top_logprobs[0]!.token, logprob: top_logprobs[0]!.logprob },
    );
    assert.ok(logprob <= 0);
  }
});

await show('a prediction changes nothing but the figures', async () => {
  const completion = await client.chat.completions.create({
    ...greedy,
    prediction: { type: 'content', content: answer },
  });
  assert.equal(completion.choices[0]!.message.content, answer);
  assert.ok(completion.usage!.completion_tokens_details!.accepted_prediction_tokens! > 0);
});

await show('text completions', async () => {
  const echoed = await client.completions.create({
    ...{ model, prompt: 'One two three', max_tokens: 4, temperature: 0, echo: true, logprobs: 1 },
  });
  assert.ok(echoed.choices[0]!.text.startsWith('One two three'));
  assert.equal(echoed.choices[0]!.logprobs!.tokens!.join(''), echoed.choices[0]!.text);
});

await show('a stored chat is read, noted on, listed and deleted', async () => {
  const { id } = await client.chat.completions.create({ ...greedy, store: true, metadata: { topic: 'sdk' } });
  assert.equal((await client.chat.completions.retrieve(id)).choices[0]!.message.content, answer);
  await client.chat.completions.update(id, { metadata: { topic: 'noted' } });
  const listed: string[] = [];
  for await (const one of client.chat.completions.list({ metadata: { topic: 'noted' } })) listed.push(one.id);
  assert.deepEqual(listed, [id]);
  const [asked] = (await client.chat.completions.messages.list(id)).data;
  assert.equal(asked!.content, SDK_PROMPT);
  assert.equal((await client.chat.completions.delete(id)).deleted, true);
});

await show('models', async () => {
  const ids: string[] = [];
  for await (const { id } of client.models.list()) ids.push(id);
  assert.ok(ids.includes(model));
  assert.equal((await client.models.retrieve(model)).object, 'model');
});

await show('error classes', async () => {
  const raised = async (promise: Promise<unknown>): Promise<InstanceType<typeof OpenAI.APIError>> => {
    const error = await promise.then(
      () => assert.fail('answered'),
      (error) => error,
    );
    assert.match(error.requestID, /^req_/);
    return error;
  };
  const hot = await raised(client.chat.completions.create({ ...greedy, temperature: 3 }));
  assert.ok(hot instanceof OpenAI.BadRequestError);
  assert.equal(hot.param, 'temperature');
  assert.equal(hot.type, 'invalid_request_error');
  const absent = await raised(client.chat.completions.create({ ...greedy, model: 'absent' }));
  assert.ok(absent instanceof OpenAI.NotFoundError);
  assert.equal(absent.code, 'model_not_found');
  const stranger = new OpenAI({ apiKey: 'sk-of-somebody-else' });
  const denied = await raised(stranger.models.list());
  assert.ok(denied instanceof OpenAI.AuthenticationError);
  assert.equal(denied.code, 'invalid_api_key');
  const long = await raised(client.chat.completions.create({ ...greedy, max_tokens: 100_000 }));
  assert.ok(long instanceof OpenAI.BadRequestError);
  assert.equal(long.code, 'context_length_exceeded');
});

await show('leaving a stream frees its place', async () => {
  const stream = await client.chat.completions.create({ ...greedy, max_tokens: 2_000, stream: true });
  for await (const chunk of stream) {
    assert.equal(chunk.object, 'chat.completion.chunk');
    break;
  }
  assert.equal((await client.chat.completions.create(greedy)).choices[0]!.message.content, answer);
});

const City = z.object({
  name: z.enum(['Paris', 'Rome', 'Oslo']),
  is_capital: z.boolean(),
  population: z.number().int().min(1).max(99),
  sights: z
    .array(z.enum(['tower', 'river', 'museum']))
    .min(1)
    .max(3),
});
const describe = [{ role: 'user' as const, content: 'Describe Paris as JSON.' }];

await show('parse with zod', async () => {
  const completion = await client.chat.completions.parse({
    ...{ ...greedy, messages: describe, max_tokens: 200 },
    response_format: zodResponseFormat(City, 'city'),
  });
  const { message, finish_reason } = completion.choices[0]!;
  assert.equal(finish_reason, 'stop');
  assert.deepEqual(City.parse(JSON.parse(message.content!)), message.parsed);
});

await show('streamed JSON validates, and an answer cut short raises LengthFinishReasonError', async () => {
  const request = {
    ...{ ...greedy, messages: describe, max_tokens: 200 },
    response_format: zodResponseFormat(City, 'city'),
  };
  const parsed = (await client.chat.completions.stream(request).finalChatCompletion()).choices[0]!.message
    .parsed;
  assert.deepEqual(City.parse(parsed), parsed);
  await assert.rejects(client.chat.completions.parse({ ...request, max_tokens: 3 }), LengthFinishReasonError);
});

await show('json_object', async () => {
  const completion = await client.chat.completions.create({
    ...{ ...greedy, messages: describe, max_tokens: 600, response_format: { type: 'json_object' } },
  });
  const { message, finish_reason } = completion.choices[0]!;
  if (finish_reason === 'stop') assert.equal(typeof JSON.parse(message.content!), 'object');
  assert.match(message.content!, /^\s*\{/);
});

const Place = z.object({ city: z.enum(['Paris', 'Rome', 'Oslo']), unit: z.enum(['celsius', 'fahrenheit']) });
const weather = zodFunction({
  name: 'get_weather',
  description: 'The weather in a city now.',
  parameters: Place,
});
const askWeather = [{ role: 'user' as const, content: 'What is the weather in Paris in celsius?' }];

await show('a required tool is called, the same streamed', async () => {
  const request = {
    ...{ ...greedy, messages: askWeather, max_tokens: 200 },
    ...{ tools: [weather], tool_choice: 'required' as const },
  };
  const completion = await client.chat.completions.parse(request);
  const { message, finish_reason } = completion.choices[0]!;
  assert.equal(finish_reason, 'tool_calls');
  const calls = message.tool_calls!;
  for (const call of calls) {
    assert.ok(call.type === 'function');
    assert.equal(call.function.name, 'get_weather');
    assert.deepEqual(Place.parse(JSON.parse(call.function.arguments)), call.function.parsed_arguments);
  }
  const ids = calls.map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);

  const stream = client.chat.completions.stream(request);
  let deltas = '';
  stream.on('tool_calls.function.arguments.delta', ({ arguments_delta }) => (deltas += arguments_delta));
  const streamed = (await stream.finalMessage()).tool_calls!;
  const argumentsOf = (calls: readonly OpenAI.Chat.ChatCompletionMessageToolCall[]): string[] =>
    calls.map((call) => (call.type === 'function' ? call.function.arguments : ''));
  assert.deepEqual(argumentsOf(streamed), argumentsOf(calls));
  assert.equal(deltas, argumentsOf(streamed).join(''));
});

/** A question about the weather, the call it led to, its result, and what was made of it. */
function exampleCall(city: string, temperature: number): OpenAI.Chat.ChatCompletionMessageParam[] {
  const called = { name: 'get_weather', arguments: JSON.stringify({ city, unit: 'celsius' }) };
  return [
    { role: 'user', content: `What is the weather in ${city} in celsius?` },
    { role: 'assistant', tool_calls: [{ id: 'call_1', type: 'function', function: called }] },
    { role: 'tool', tool_call_id: 'call_1', content: JSON.stringify({ temperature, sky: 'clear' }) },
    { role: 'assistant', content: `It is ${temperature} degrees in ${city}.` },
  ];
}

/** The gateway's own extension, beside /v1. */
function tokenize(prompt: string): Promise<{ tokens: number[] }> {
  return client.post(new URL('/tokenize', client.baseURL).href, {
    body: { model, prompt, add_special_tokens: false },
  });
}

await show('runTools completes: the tool ran, its result went back, a text came', async () => {
  const called: z.infer<typeof Place>[] = [];
  const runnable = zodFunction({
    ...{ name: 'get_weather', description: 'The weather in a city now.', parameters: Place },
    function: (place: z.infer<typeof Place>) => {
      called.push(place);
      return { temperature: 21, sky: 'clear' };
    },
  });
  // The default model is small: an example shows it how a call is made, and it may not make up results itself.
  const { tokens } = await tokenize('_response');
  const runner = client.chat.completions.runTools({
    ...{ ...greedy, max_tokens: 100, stop: '\n\n', logit_bias: { [tokens.at(-1)!]: -100 } },
    messages: [...exampleCall('Rome', 18), ...askWeather],
    tools: [runnable],
  });
  assert.match((await runner.finalContent())!, /\b21\b/);
  assert.deepEqual(called, [{ city: 'Paris', unit: 'celsius' }]);
  assert.equal(runner.allChatCompletions().length, 2);
  assert.equal(await runner.finalFunctionToolCallResult(), '{"temperature":21,"sky":"clear"}');

  const named = client.chat.completions.runTools({
    ...{ ...greedy, messages: askWeather, max_tokens: 200 },
    tools: [runnable],
    tool_choice: { type: 'function', function: { name: 'get_weather' } },
  });
  await named.done();
  assert.match(String(named.messages.at(-1)!.content), /"temperature":21/);
});

await show('responses: create, retrieve, chain, delete', async () => {
  const response = await client.responses.create(asked);
  assert.equal(response.output_text, answer);
  assert.equal(response.status, 'completed');
  const cut = await client.responses.create({ ...asked, max_output_tokens: 3, store: false });
  assert.equal(cut.status, 'incomplete');
  assert.equal(cut.incomplete_details?.reason, 'max_output_tokens');
  const { input_tokens, output_tokens, total_tokens } = response.usage!;
  assert.equal(input_tokens + output_tokens, total_tokens);
  const kept = await client.responses.retrieve(response.id);
  assert.deepEqual(kept.output, response.output);
  const next = await client.responses.create({
    ...{ ...asked, input: 'And of Italy?', previous_response_id: response.id },
  });
  assert.ok(next.usage!.input_tokens > input_tokens + output_tokens);
  await client.responses.delete(response.id);
  await assert.rejects(client.responses.retrieve(response.id), OpenAI.NotFoundError);
});

await show('responses stream', async () => {
  const stream = client.responses.stream(asked);
  let text = '';
  const kinds = new Set<string>();
  for await (const event of stream) {
    kinds.add(event.type);
    if (event.type === 'response.output_text.delta') text += event.delta;
  }
  assert.equal(text, answer);
  assert.equal((await stream.finalResponse()).output_text, answer);
  for (const kind of ['response.created', 'response.output_item.added', 'response.completed']) {
    assert.ok(kinds.has(kind), kind);
  }
});

await show('a response in the background is resumed', async () => {
  const stream = await client.responses.create({ ...asked, background: true, stream: true });
  let [id, last] = ['', -1];
  for await (const event of stream) {
    last = event.sequence_number;
    if ('response' in event) id = event.response.id;
    if (last >= 4) break;
  }
  const rest = await client.responses.retrieve(id, { stream: true, starting_after: last });
  let end = '';
  for await (const event of rest) {
    assert.equal(event.sequence_number, ++last);
    if (event.type === 'response.completed') end = textOf(event.response);
  }
  assert.equal(end, answer);
});

await show('responses parse with zod', async () => {
  const response = await client.responses.parse({
    ...{ ...asked, input: 'Describe Paris as JSON.', max_output_tokens: 200 },
    text: { format: zodTextFormat(City, 'city') },
  });
  assert.equal(response.status, 'completed');
  assert.deepEqual(City.parse(JSON.parse(response.output_text)), response.output_parsed);
});

await show('responses call functions and take their outputs', async () => {
  const request = {
    ...{ ...asked, max_output_tokens: 200 },
    tools: [
      {
        ...{ type: 'function' as const, name: 'get_weather', strict: true },
        parameters: z.toJSONSchema(Place) as Record<string, unknown>,
      },
    ],
  };
  const response = await client.responses.create({
    ...{ ...request, input: askWeather[0]!.content, tool_choice: 'required' as const },
  });
  const call = response.output.find(({ type }) => type === 'function_call');
  assert.ok(call?.type === 'function_call');
  Place.parse(JSON.parse(call.arguments));
  const last = await client.responses.create({
    ...{ ...request, previous_response_id: response.id, tool_choice: 'none' as const },
    input: [{ type: 'function_call_output', call_id: call.call_id, output: '{"temperature":21}' }],
  });
  assert.ok(last.output_text.length > 0);
  assert.ok(last.output.every(({ type }) => type === 'message'));
});

await show('ResponsesWS: an answer, one that follows it, an error that leaves it open', async () => {
  const socket = new ResponsesWS(client);
  const ended = (): Promise<OpenAI.Responses.Response> =>
    new Promise((resolve, reject) => {
      socket.once('response.completed', ({ response }) => resolve(response));
      socket.once('error', reject);
    });
  try {
    let text = '';
    socket.on('response.output_text.delta', ({ delta }) => (text += delta));
    socket.send({ type: 'response.create', ...asked, store: false });
    const first = await ended();
    assert.equal(text, answer);
    socket.send({ type: 'response.create', ...asked, store: false, previous_response_id: first.id });
    assert.equal((await ended()).previous_response_id, first.id);
    socket.send({ type: 'response.create', ...asked, previous_response_id: 'resp_of_nobody' });
    await assert.rejects(ended(), /previous_response_not_found|not found/i);
    socket.send({ type: 'response.create', ...asked, store: false });
    assert.equal(textOf(await ended()), answer);
  } finally {
    socket.close();
  }
});

function textOf({ output }: OpenAI.Responses.Response): string {
  return output
    .flatMap((item) => (item.type === 'message' ? item.content : []))
    .map((part) => (part.type === 'output_text' ? part.text : ''))
    .join('');
}
