/** `POST /v1/responses` as OpenAI's SDK uses it and as raw events show it, over a fake engine. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import OpenAI from 'openai';
import { Value } from 'typebox/value';
import { ResponseShape } from '../../routes/response-schemas.ts';
import { ErrorBody } from '../../routes/schemas.ts';
import { GatewayError } from '../../src/errors.ts';
import type { ResponseEvent } from '../../src/responses/response-events.ts';
import { inWords } from '../../src/text/tool-messages.ts';
import {
  card,
  type EdgeOptions,
  eventually,
  hello,
  listenEdge,
  openEdge,
  tinyPrompts,
} from '../support/edge.ts';

const url = '/v1/responses';
const model = card.id;

async function post(t: TestContext, fields: object, options: EdgeOptions = {}) {
  const { app, completions } = await openEdge(t, options);
  const answer = await app.inject({ method: 'POST', url, payload: { model, input: 'Hi', ...fields } });
  return { answer, body: answer.json(), completions };
}

async function events(t: TestContext, fields: object, options: EdgeOptions = {}): Promise<ResponseEvent[]> {
  const { app } = await openEdge(t, options);
  const payload = { model, input: 'Hi', stream: true, ...fields };
  const { payload: text } = await app.inject({ method: 'POST', url, payload });
  const blocks = text.split('\n\n').filter((block) => block !== '' && !block.startsWith(':'));
  assert.equal(blocks.pop(), 'data: [DONE]');
  return blocks.map((block) => {
    const [name, data] = block.split('\n');
    const event = JSON.parse(data!.slice('data: '.length)) as ResponseEvent;
    assert.equal(name, `event: ${event.type}`);
    return event;
  });
}

/** Keys that the OpenResponses schema wants to see with a value, and those that may be null. */
const valued = [
  ...[
    'id',
    'object',
    'created_at',
    'status',
    'model',
    'output',
    'tools',
    'tool_choice',
    'truncation',
    'store',
  ],
  ...['parallel_tool_calls', 'text', 'top_p', 'presence_penalty', 'frequency_penalty', 'top_logprobs'],
  ...['temperature', 'background', 'service_tier', 'metadata'],
];
const nullableKeys = [
  ...[
    'completed_at',
    'incomplete_details',
    'previous_response_id',
    'instructions',
    'error',
    'reasoning',
    'usage',
  ],
  ...['max_output_tokens', 'max_tool_calls', 'safety_identifier', 'prompt_cache_key'],
];

function assertComplete(response: Record<string, unknown>): void {
  for (const key of valued) assert.ok(response[key] != null, key);
  for (const key of nullableKeys) assert.ok(key in response, key);
  const { text, output } = response as { text: object; output: Record<string, unknown>[] };
  assert.deepEqual(Object.keys(text), ['format', 'verbosity']);
  for (const item of output) {
    const wanted = item['type'] === 'message' ? ['role', 'content'] : ['call_id', 'name', 'arguments'];
    for (const key of ['id', 'status', ...wanted]) assert.ok(item[key] != null, `${item['type']}.${key}`);
    for (const part of (item['content'] ?? []) as object[]) {
      assert.deepEqual(Object.keys(part), ['type', 'text', 'annotations', 'logprobs']);
    }
  }
}

test('whatever becomes of a response, all keys of the OpenResponses schema are there, in every event of its life', async (t) => {
  const lost = new GatewayError('shard_lost', 'A shard was lost.');
  const tools = [{ type: 'function', name: 'get_weather', parameters: { type: 'object', properties: {} } }];
  for (const [fields, answer] of [
    [{}, hello],
    [{ top_logprobs: 2 }, hello],
    [{}, { rounds: [['a']], reason: 'length' }],
    [{}, { rounds: [['a']], failure: lost }],
    [{ background: true }, hello],
    [{ tools }, { rounds: [[call('Oslo')]] }],
  ] as const) {
    const all = await events(t, fields, { answer });
    const told = all.flatMap((event) => ('response' in event ? [event.response] : []));
    assert.ok(told.length >= 3);
    for (const response of told) {
      assertComplete(response as unknown as Record<string, unknown>);
      assert.ok(Value.Check(ResponseShape, response));
    }
    assert.equal(new Set(told.map(({ id }) => id)).size, 1);
    assert.deepEqual(
      all.map(({ sequence_number }) => sequence_number),
      all.map((_, index) => index),
    );
  }
});

test('a response has every key, and output that the SDK reads', async (t) => {
  const { client } = await listenEdge(t);
  const response = await client.responses.create({ model, input: 'Hi', instructions: 'Be brief.' });
  assert.equal(response.output_text, 'Hello wörld!');
  assert.equal(response.status, 'completed');
  assert.deepEqual(response.usage, {
    input_tokens: 7,
    input_tokens_details: { cached_tokens: 2, cache_write_tokens: 0 },
    output_tokens: 5,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: 12,
  });
  const { body } = await post(t, {});
  assert.ok(Value.Check(ResponseShape, body), JSON.stringify([...Value.Errors(ResponseShape, body)]));
  assertComplete(body);
  assert.match(body.id, /^resp_[0-9a-f]{32}$/);
});

test('settings reach the engine and come back', async (t) => {
  const fields = {
    input: [
      { role: 'developer', content: 'Rule.' },
      {
        type: 'message',
        role: 'user',
        content: [
          { type: 'input_text', text: 'A' },
          { type: 'input_text', text: 'B' },
        ],
      },
      { type: 'reasoning', id: 'rs_1', summary: [] },
      { role: 'assistant', content: [{ type: 'output_text', text: 'C' }] },
      { role: 'user', content: 'D' },
    ],
    instructions: 'Short.',
    temperature: 0.5,
    top_p: 0.9,
    max_output_tokens: 33,
    seed: 7,
    stop: ['x'],
    metadata: { a: 'b' },
    safety_identifier: 'me',
    prompt_cache_key: 'k',
    truncation: 'auto',
    reasoning: { effort: 'low' },
    text: { format: { type: 'text' }, verbosity: 'low' },
    include: ['reasoning.encrypted_content'],
    prediction: { type: 'content', content: 'C' },
  };
  const { body, completions } = await post(t, fields);
  const [request] = completions.requests;
  assert.deepEqual(request!.messages, [
    { role: 'system', content: 'Short.' },
    { role: 'system', content: 'Rule.' },
    { role: 'user', content: 'AB' },
    { role: 'assistant', content: 'C' },
    { role: 'user', content: 'D' },
  ]);
  assert.deepEqual(
    [
      request!.temperature,
      request!.topP,
      request!.maxTokens,
      request!.seed,
      request!.stop,
      request!.prediction,
    ],
    [0.5, 0.9, 33, 7n, ['x'], 'C'],
  );
  for (const key of [
    'instructions',
    'temperature',
    'top_p',
    'max_output_tokens',
    'metadata',
    'truncation',
  ] as const) {
    assert.deepEqual(body[key], fields[key], key);
  }
  assert.deepEqual([body.safety_identifier, body.prompt_cache_key, body.text.verbosity], ['me', 'k', 'low']);
});

test('a stream has the events in the order that helpers demand', async (t) => {
  const all = await events(t, {});
  const deltas = hello.rounds.flat().filter((delta) => delta !== '');
  assert.deepEqual(
    all.map(({ type }) => type),
    [
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      ...deltas.map(() => 'response.output_text.delta'),
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ],
  );
  assert.deepEqual(
    all.map(({ sequence_number }) => sequence_number),
    all.map((_, index) => index),
  );
});

test("the SDK's stream helper assembles the response", async (t) => {
  const { client } = await listenEdge(t);
  const stream = client.responses.stream({ model, input: 'Hi' });
  const types = new Set<string>();
  for await (const event of stream) types.add(event.type);
  const response = await stream.finalResponse();
  assert.equal(response.output_text, 'Hello wörld!');
  assert.ok(types.has('response.output_text.delta') && types.has('response.completed'));
});

test('an answer cut by its length is incomplete and says why', async (t) => {
  const { body } = await post(t, {}, { answer: { rounds: [['a', 'b']], reason: 'length' } });
  assert.deepEqual([body.status, body.incomplete_details], ['incomplete', { reason: 'max_output_tokens' }]);
  assert.equal(body.output[0].status, 'incomplete');
  const last = (await events(t, {}, { answer: { rounds: [['a']], reason: 'length' } })).at(-1)!;
  assert.equal(last.type, 'response.incomplete');
});

test('an engine that fails midway ends a stream with error and response.failed, and is an error otherwise', async (t) => {
  const answer = { rounds: [['a']], failure: new GatewayError('shard_lost', 'A shard was lost.') };
  const all = await events(t, {}, { answer });
  assert.deepEqual(
    all.slice(-2).map(({ type }) => type),
    ['error', 'response.failed'],
  );
  const failed = all.at(-1) as Extract<ResponseEvent, { type: 'response.failed' }>;
  assert.equal(failed.response.error?.code, 'server_error');
  assert.equal(failed.response.output[0]?.type, 'message');
  const { answer: whole } = await post(t, {}, { answer });
  assert.deepEqual([whole.statusCode, whole.json().error.code], [503, 'shard_lost']);
});

test('an engine that refuses gives its own status before any event, in terms of this endpoint', async (t) => {
  const refusal = new GatewayError('context_length_exceeded', 'Too long.', { param: 'max_tokens' });
  for (const stream of [true, false]) {
    const { answer } = await post(t, { stream }, { answer: { rounds: [], refusal } });
    assert.equal(answer.statusCode, 400);
    assert.equal(answer.json().error.param, 'max_output_tokens');
  }
});

test('what cannot be served is refused with its name', async (t) => {
  const cases: [object, string][] = [
    [{ prompt: { id: 'p' } }, 'prompt'],
    [{ moderation: { model: 'x' } }, 'moderation'],
    [{ messages: [] }, 'messages'],
    [{ max_tokens: 5 }, 'max_tokens'],
    [{ n: 2 }, 'n'],
    [{ background: true, store: false }, 'background'],
    [{ previous_response_id: 'a', conversation: 'b' }, 'previous_response_id'],
    [{ stream_options: {} }, 'stream_options'],
    [
      { input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'x' }] }] },
      'input[0].content[0].type',
    ],
    [{ input: [{ role: 'user', content: 'a' }, { type: 'computer_call' }] }, 'input[1].type'],
    [{ input: [{ type: 'message', content: 'a' }] }, 'input[0].role'],
    [{ input: [{ role: 'user' }] }, 'input[0].content'],
    [{ input: [{ type: 'compaction', encrypted_content: 'zzz' }] }, 'input[0].encrypted_content'],
    [{ input: [{ role: 'tool', content: 'a' }] }, 'input[0].role'],
    [{ input: 5 }, 'input'],
    [{ temperature: 3 }, 'temperature'],
    [{ max_output_tokens: 0 }, 'max_output_tokens'],
    [{ metadata: { a: 1 } }, 'metadata.a'],
  ];
  const { app } = await openEdge(t);
  for (const [fields, param] of cases) {
    const answer = await app.inject({ method: 'POST', url, payload: { model, input: 'Hi', ...fields } });
    const body = answer.json();
    assert.deepEqual([answer.statusCode, body.error.param], [400, param], JSON.stringify(fields));
    assert.ok(Value.Check(ErrorBody, body));
  }
  const { body } = await post(t, { model: 'other' });
  assert.equal(body.error.code, 'model_not_found');
});

test('log-probabilities come with their tokens, streamed and whole, where they are asked for', async (t) => {
  const { body, completions } = await post(t, { top_logprobs: 2 });
  const [part] = body.output[0].content;
  assert.equal(completions.requests[0]!.logprobs, 2);
  assert.equal(part.logprobs.length, 5);
  assert.equal(part.logprobs[0].top_logprobs.length, 2);
  const all = await events(t, { include: ['message.output_text.logprobs'] });
  const deltas = all.filter((event) => event.type === 'response.output_text.delta');
  assert.deepEqual(
    deltas.map(({ logprobs }) => logprobs.length),
    [1, 1, 1, 1, 1],
  );
  const { body: plain } = await post(t, {});
  assert.deepEqual(plain.output[0].content[0].logprobs, []);
});

const weather = {
  type: 'function' as const,
  name: 'weather',
  description: 'Of a city.',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  strict: true,
};
const call = (city: string) =>
  `<tool_call>\n{"name": "weather", "arguments": {"city": "${city}"}}\n</tool_call>`;
/** As tokens would come. */
const inPieces = (text: string) => ({ rounds: (text.match(/.{1,4}/gs) ?? []).map((piece) => [piece]) });

test('calls of functions are items, streamed and whole, and their results go back', async (t) => {
  let text = `${call('Oslo')}\n${call('Rome')}`;
  const { client, completions } = await listenEdge(t, { answer: () => inPieces(text) });
  const fields = { model, tools: [weather] };
  const stream = client.responses.stream({ ...fields, input: 'Weather?' });
  const events = await Array.fromAsync(stream);
  const response = await stream.finalResponse();
  const calls = response.output.filter((item) => item.type === 'function_call');
  assert.deepEqual(
    calls.map((item) => [item.name, item.arguments, item.status]),
    [
      ['weather', '{"city": "Oslo"}', 'completed'],
      ['weather', '{"city": "Rome"}', 'completed'],
    ],
  );
  assert.equal(response.output.length, 2);
  assert.equal(new Set(calls.map(({ call_id }) => call_id)).size, 2);
  assert.equal(events.filter(({ type }) => type === 'response.function_call_arguments.done').length, 2);
  assert.deepEqual(response.tools[0], { ...weather });
  const [asked] = completions.requests;
  assert.match(inWords(asked!.messages)[0]!.content, /"name":"weather"/);
  assert.ok(asked!.grammar !== undefined);

  text = 'Cold.';
  const output = calls.map(({ call_id }) => ({
    type: 'function_call_output' as const,
    call_id,
    output: '3 °C',
  }));
  const next = await client.responses.create({ ...fields, input: output, previous_response_id: response.id });
  assert.equal(next.output_text, 'Cold.');
  const shown = inWords(completions.requests[1]!.messages).slice(1);
  assert.deepEqual(
    shown.map(({ role }) => role),
    ['user', 'assistant', 'user', 'user'],
  );
  assert.equal(shown[1]!.content, `${call('Oslo')}\n${call('Rome')}`);
  const stray = [{ type: 'function_call_output' as const, call_id: 'call_none', output: 'x' }];
  await assert.rejects(client.responses.create({ ...fields, input: stray }), /No tool call found/);
});

test('a call that the length cut is incomplete, and text before a call is a message', async (t) => {
  const text = `Let me see.${call('Oslo').slice(0, -20)}`;
  const { body } = await post(t, { tools: [weather] }, { answer: { ...inPieces(text), reason: 'length' } });
  assert.equal(body.status, 'incomplete');
  assert.deepEqual(
    body.output.map(({ type, status }: { type: string; status: string }) => [type, status]),
    [
      ['message', 'completed'],
      ['function_call', 'incomplete'],
    ],
  );
  const { body: stopped } = await post(t, { tools: [weather] }, { answer: inPieces(text) });
  assert.deepEqual([stopped.status, stopped.output[1].status], ['completed', 'incomplete']);
});

test('text formats and tool choices reach the engine as grammars, or are refused in terms of this endpoint', async (t) => {
  const schema = { type: 'object', properties: { a: { type: 'integer' } }, required: ['a'] };
  const format = { type: 'json_schema', name: 'x', schema, strict: true };
  const { completions, body } = await post(t, { text: { format } });
  assert.ok(completions.requests[0]!.grammar !== undefined);
  assert.deepEqual(body.text.format, format);
  const named = await post(t, { tools: [weather], tool_choice: { type: 'function', name: 'weather' } });
  assert.match(inWords(named.completions.requests[0]!.messages)[0]!.content, /Answer with a call/);
  const cases: [object, string][] = [
    [{ text: { format: { type: 'json_schema', name: 'x' } } }, 'text.format.schema'],
    [{ tools: [{ type: 'web_search' }] }, 'tools[0].type'],
    [{ tools: [{ type: 'function' }] }, 'tools[0].name'],
    [{ tools: [{ ...weather, parameters: { type: 'array' } }] }, 'tools[0].parameters'],
    [{ tools: [weather], tool_choice: { type: 'function', name: 'other' } }, 'tool_choice'],
    [{ tool_choice: 'required' }, 'tool_choice'],
  ];
  const { app } = await openEdge(t);
  for (const [fields, param] of cases) {
    const answer = await app.inject({ method: 'POST', url, payload: { model, input: 'Hi', ...fields } });
    assert.deepEqual([answer.statusCode, answer.json().error.param], [400, param], JSON.stringify(fields));
  }
});

test('speculation adds metrics to the finished response only', async (t) => {
  const all = await events(t, { speculation: {} });
  const told = all.flatMap((event) => ('response' in event ? ['metrics' in event.response] : []));
  assert.deepEqual(told, [false, false, true]);
  const { body } = await post(t, { speculation: {}, frequency_penalty: 0.5 });
  assert.equal(body.metrics.mean_accepted_length, 2.5);
  assert.equal(body.frequency_penalty, 0.5);
  assert.ok(Value.Check(ResponseShape, body));
});

test('chains go on from what was said, whether asked by the same client or later', async (t) => {
  const { client, completions } = await listenEdge(t);
  const first = await client.responses.create({ model, input: 'One', instructions: 'Only now.' });
  const second = await client.responses.create({ model, input: 'Two', previous_response_id: first.id });
  await client.responses.create({ model, input: 'Three', previous_response_id: second.id });
  assert.deepEqual(
    completions.requests.at(-1)!.messages.map(({ content }) => content),
    ['One', 'Hello wörld!', 'Two', 'Hello wörld!', 'Three'],
  );
  assert.equal(second.previous_response_id, first.id);
  const unstored = await client.responses.create({ model, input: 'x', store: false });
  const failing = client.responses.create({ model, input: 'y', previous_response_id: unstored.id });
  await assert.rejects(failing, (error) => {
    return error instanceof OpenAI.BadRequestError && error.code === 'previous_response_not_found';
  });
});

test('item references stand for items that are stored', async (t) => {
  const { client, completions } = await listenEdge(t);
  const first = await client.responses.create({ model, input: 'One' });
  const input = [
    { type: 'item_reference' as const, id: first.output[0]!.id! },
    { role: 'user' as const, content: 'Two' },
  ];
  await client.responses.create({ model, input });
  assert.deepEqual(completions.requests.at(-1)!.messages, [
    { role: 'assistant', content: 'Hello wörld!' },
    { role: 'user', content: 'Two' },
  ]);
  const missing = client.responses.create({ model, input: [{ type: 'item_reference', id: 'msg_none' }] });
  await assert.rejects(missing, OpenAI.NotFoundError);
});

test('truncation auto leaves out the oldest turns, disabled none', async (t) => {
  const long = (word: string) => ({ role: 'user' as const, content: `${word} `.repeat(150).trim() });
  const input = [long('a'), long('b'), long('c'), { role: 'user' as const, content: 'end' }];
  const { client, completions } = await listenEdge(t);
  await client.responses.create({
    model,
    input,
    truncation: 'auto',
    max_output_tokens: 100,
    instructions: 'Sys',
  });
  await client.responses.create({ model, input });
  const shown = completions.requests.map(({ messages }) =>
    messages.map(({ content }) => content[0]).join(''),
  );
  assert.deepEqual(shown, ['Sbce', 'abce']);
});

test('input_tokens counts what would be sent; compact gives an item that stands for it', async (t) => {
  const { client, completions } = await listenEdge(t);
  const first = await client.responses.create({ model, input: 'One two' });
  const count = await client.responses.inputTokens.count({
    model,
    input: 'three',
    previous_response_id: first.id,
  });
  const shown = ['One two', 'Hello wörld!', 'three'].map((content, index) => {
    return { role: index === 1 ? ('assistant' as const) : ('user' as const), content };
  });
  assert.deepEqual(count, {
    object: 'response.input_tokens',
    input_tokens: tinyPrompts.encodeChat(shown).length,
  });
  const compacted = await client.responses.compact({ model, previous_response_id: first.id });
  assert.equal(compacted.object, 'response.compaction');
  const [item] = compacted.output;
  assert.equal(item?.type, 'compaction');
  assert.deepEqual(completions.requests.at(-1)!.messages.length, 3);
  await client.responses.create({ model, input: [item as never, { role: 'user', content: 'go on' }] });
  assert.deepEqual(completions.requests.at(-1)!.messages, [
    { role: 'system', content: 'Summary of the conversation so far: Hello wörld!' },
    { role: 'user', content: 'go on' },
  ]);
});

test('a client that leaves cancels its response', async (t) => {
  const answer = { rounds: Array.from({ length: 1000 }, () => ['x']), roundMs: 5 };
  const { client, completions } = await listenEdge(t, { answer });
  let id = '';
  for await (const event of await client.responses.create({ model, input: 'Hi', stream: true })) {
    if (event.type === 'response.created') id = event.response.id;
    if (event.type === 'response.output_text.delta') break;
  }
  await eventually(() => completions.ended === 1, 'the engine was told');
  assert.equal((await client.responses.retrieve(id)).status, 'cancelled');
});
