/** The body of a chat: what is served, what is refused by name, what is ignored. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import OpenAI from 'openai';
import { Value } from 'typebox/value';
import { ChatCompletion } from '../../routes/schemas.ts';
import { GatewayError } from '../../src/errors.ts';
import { card, chat, type EdgeOptions, hello, listenEdge, openEdge } from '../support/edge.ts';

async function post(t: TestContext, fields: object, options: EdgeOptions = {}) {
  const edge = await openEdge(t, options);
  const payload = { ...chat, ...fields };
  const answer = await edge.app.inject({ method: 'POST', url: '/v1/chat/completions', payload });
  return { answer, body: answer.json(), request: edge.completions.requests[0], edge };
}

test('a chat is answered whole, with usage, and without metrics unless speculation is sent', async (t) => {
  const { answer, body } = await post(t, {});
  assert.equal(answer.statusCode, 200);
  assert.ok(Value.Check(ChatCompletion, body));
  assert.equal(body.choices[0].message.content, 'Hello wörld!');
  assert.equal(body.usage.total_tokens, 12);
  assert.equal(body.system_fingerprint, 'fp_abc');
  assert.ok(!('metrics' in body));
});

test('speculation adds metrics in snake_case with the seed', async (t) => {
  const { body, request } = await post(t, { speculation: { drafter: 'ngram', draft_length: 8 }, seed: 5 });
  assert.ok(Value.Check(ChatCompletion, body));
  assert.deepEqual(request!.speculation, { drafter: 'ngram', draftLength: 8, rounds: 'auto' });
  assert.equal(body.metrics!.seed, 5);
  assert.deepEqual(body.metrics!.acceptance_per_position, [1, 0.5]);
  assert.deepEqual(body.metrics!.drafters, { ngram: 2 });
});

test('defaults are those of OpenAI', async (t) => {
  const { request } = await post(t, {});
  const { signal, ...rest } = request!;
  assert.equal(signal.aborted, false);
  assert.deepEqual(rest, {
    messages: [{ role: 'user', content: 'Hi' }],
    temperature: 1,
    topP: 1,
    topK: 0,
    minP: 0,
    seed: null,
    maxTokens: null,
    stop: [],
    choices: 1,
    prediction: null,
    speculation: { drafter: 'auto', draftLength: 'auto', rounds: 'auto' },
    owner: 'anonymous',
  });
});

test('every served parameter reaches the engine', async (t) => {
  const { request } = await post(t, {
    messages: [
      {
        role: 'developer',
        content: [
          { type: 'text', text: 'Be ' },
          { type: 'text', text: 'brief.' },
        ],
      },
      { role: 'user', content: 'Q', name: 'ann' },
      { role: 'assistant', content: [{ type: 'refusal', refusal: 'No.' }], tool_calls: [] },
      { role: 'user', content: '' },
    ],
    temperature: 0,
    top_p: 0.5,
    top_k: -1,
    min_p: 0.1,
    seed: -1,
    max_tokens: 9,
    max_completion_tokens: 5,
    stop: ['a', '', 'b'],
    prediction: {
      type: 'content',
      content: [
        { type: 'text', text: 'x' },
        { type: 'text', text: 'y' },
      ],
    },
    speculation: { draft_length: 'auto' },
  });
  assert.deepEqual(request!.messages, [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'Q' },
    { role: 'assistant', content: 'No.' },
    { role: 'user', content: '' },
  ]);
  assert.deepEqual(
    [request!.temperature, request!.topP, request!.topK, request!.minP, request!.seed],
    [0, 0.5, 0, 0.1, 2n ** 64n - 1n],
  );
  assert.deepEqual([request!.maxTokens, request!.stop, request!.prediction], [5, ['a', 'b'], 'xy']);
});

test('null and empty values mean as if not sent', async (t) => {
  const nulls = Object.fromEntries(
    [
      'temperature top_p top_k min_p seed max_tokens max_completion_tokens stop n stream stream_options prediction',
      'speculation tools tool_choice response_format logprobs top_logprobs logit_bias frequency_penalty audio',
      'presence_penalty modalities web_search_options functions user metadata store guided_json',
    ]
      .join(' ')
      .split(' ')
      .map((name) => [name, null]),
  );
  const harmless = {
    n: 1,
    tools: [],
    tool_choice: 'auto',
    response_format: { type: 'text' },
    logprobs: false,
    top_logprobs: 0,
    logit_bias: {},
    frequency_penalty: 0,
    presence_penalty: 0,
    modalities: ['text'],
    stop: '',
  };
  for (const fields of [nulls, harmless]) assert.equal((await post(t, fields)).answer.statusCode, 200);
});

test('parameters that would change the answer are refused by name', async (t) => {
  const refused: Record<string, unknown> = {
    functions: [{}],
    function_call: { name: 'f' },
    modalities: ['text', 'audio'],
    audio: { voice: 'x' },
    web_search_options: {},
    grammar: 'root ::= "a"',
  };
  const { app } = await openEdge(t);
  for (const [name, value] of Object.entries(refused)) {
    const payload = { ...chat, [name]: value };
    const answer = await app.inject({ method: 'POST', url: '/v1/chat/completions', payload });
    assert.equal(answer.statusCode, 400, name);
    assert.equal(answer.json().error.param, name);
    assert.equal(answer.json().error.type, 'invalid_request_error');
  }
});

test('invalid values are refused with the path of the field', async (t) => {
  const part = (type: string) => [{ role: 'user', content: [{ type, image_url: { url: 'x' } }] }];
  const cases: [object, string, RegExp][] = [
    [{ temperature: 2.5 }, 'temperature', /must be <= 2/],
    [{ temperature: '1' }, 'temperature', /must be a number/],
    [{ top_p: -0.1 }, 'top_p', /must be >= 0/],
    [{ max_tokens: 0 }, 'max_tokens', /must be >= 1/],
    [{ max_tokens: 1.5 }, 'max_tokens', /must be an integer/],
    [{ seed: 'abc' }, 'seed', /pattern/],
    [{ seed: 1e30 }, 'seed', /must be <=/],
    [{ stop: ['a', 'b', 'c', 'd', 'e'] }, 'stop', /NOT have more than 4 items/],
    [{ stop: [1] }, 'stop[0]', /must be a string/],
    [{ stop: 5 }, 'stop', /must be a string or an array/],
    [{ n: 129 }, 'n', /must be <= 128/],
    [{ n: 0 }, 'n', /must be >= 1/],
    [{ reasoning_effort: 'high' }, 'reasoning_effort', /does not reason/],
    [{ reasoning_effort: 'huge' }, 'reasoning_effort', /one of none, minimal/],
    [{ verbosity: 'low' }, 'verbosity', /not supported/],
    [{ service_tier: 'gold' }, 'service_tier', /one of auto, default/],
    [{ store: 'yes' }, 'store', /must be a boolean/],
    [{ user: 'x'.repeat(513) }, 'user', /more than 512/],
    [{ metadata: { a: 1 } }, 'metadata.a', /must be a string/],
    [{ metadata: { a: 'x'.repeat(513) } }, 'metadata.a', /more than 512/],
    [{ metadata: { ['k'.repeat(65)]: 'x' } }, 'metadata', /64/],
    [
      { metadata: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, 'v'])) },
      'metadata',
      /more than 16/,
    ],
    [{ stream: 'yes' }, 'stream', /must be a boolean/],
    [{ stream_options: { include_usage: true } }, 'stream_options', /only allowed/],
    [{ model: 5 }, 'model', /must be a string/],
    [{ model: undefined }, 'model', /is missing/],
    [{ messages: undefined }, 'messages', /is missing/],
    [{ messages: [] }, 'messages', /fewer than 1/],
    [{ messages: ['hi'] }, 'messages[0]', /must be an object/],
    [{ messages: [{ role: 'king', content: 'x' }] }, 'messages[0].role', /one of developer, system/],
    [{ messages: [{ role: 'function', content: 'x' }] }, 'messages[0].role', /not supported/],
    [{ messages: [{ role: 'user' }] }, 'messages[0].content', /needs content/],
    [{ messages: [{ role: 'user', content: [5] }] }, 'messages[0].content[0]', /must be an object/],
    [{ messages: part('image_url') }, 'messages[0].content[0].type', /image_url/],
    [{ messages: part('text') }, 'messages[0].content[0].text', /needs its text/],
    [
      { messages: [{ role: 'assistant', content: '', tool_calls: [{}] }] },
      'messages[0].tool_calls[0].id',
      /is missing/,
    ],
    [
      { prediction: { type: 'content', content: part('image_url')[0]!.content } },
      'prediction.content',
      /text/,
    ],
    [{ prediction: { type: 'other', content: '' } }, 'prediction.type', /must be "content"/],
    [{ speculation: { drafter: 'magic' } }, 'speculation.drafter', /one of auto, none/],
    [{ speculation: { draft_length: 65 } }, 'speculation.draft_length', /must be <= 64/],
    [{ speculation: { verification: {} } }, 'speculation.verification', /fewer than 1/],
    [{ speculation: { verification: 'strict' } }, 'speculation.verification', /"coupled" or an object/],
    [
      { speculation: { verification: { rejection: {}, adaptive: {} } } },
      'speculation.verification',
      /more than 1/,
    ],
    [
      { speculation: { verification: { rejection: { top_k: 321 } } } },
      'speculation.verification.rejection.top_k',
      /<= 320/,
    ],
    [{ speculation: { verification: { magic: {} } } }, 'speculation.verification', /not known/],
    [
      { speculation: { verification: { adaptive: { tau: 1 } } } },
      'speculation.verification.adaptive.tau',
      /<= 0.9/,
    ],
    [{ frequency_penalty: 2.1 }, 'frequency_penalty', /<= 2/],
    [{ presence_penalty: '1' }, 'presence_penalty', /a number/],
    [{ repetition_penalty: 0 }, 'repetition_penalty', />= 0.01/],
    [{ logit_bias: { 5: 101 } }, 'logit_bias[5]', /<= 100/],
    [{ logit_bias: { hello: 1 } }, 'logit_bias.hello', /not known/],
    [{ min_tokens: -1 }, 'min_tokens', />= 0/],
    [{ ignore_eos: 'no' }, 'ignore_eos', /boolean/],
    [{ logprobs: 5 }, 'logprobs', /boolean/],
    [{ logprobs: true, top_logprobs: 21 }, 'top_logprobs', /<= 20/],
    [{ top_logprobs: 3 }, 'top_logprobs', /only allowed with 'logprobs'/],
  ];
  const { app } = await openEdge(t);
  for (const [fields, param, message] of cases) {
    const payload = { ...chat, ...fields };
    const answer = await app.inject({ method: 'POST', url: '/v1/chat/completions', payload });
    const { error } = answer.json();
    assert.equal(answer.statusCode, 400, JSON.stringify(fields));
    assert.equal(error.param, param, error.message);
    assert.match(error.message, message);
  }
});

test('an empty prediction is valid', async (t) => {
  const { request } = await post(t, { prediction: { type: 'content', content: '' } });
  assert.equal(request!.prediction, '');
});

test('an unknown model is 404 and names the one that is served', async (t) => {
  const { answer, body } = await post(t, { model: 'gpt-5' });
  assert.equal(answer.statusCode, 404);
  assert.deepEqual([body.error.code, body.error.param], ['model_not_found', 'model']);
  assert.match(body.error.message, /'gpt-5'.*'tiny\/model-1'/);
});

test('a model that is loading is 503 with Retry-After', async (t) => {
  const { answer, body } = await post(t, {}, { readiness: { state: 'loading', detail: 'packing' } });
  assert.equal(answer.statusCode, 503);
  assert.equal(answer.headers['retry-after'], '2');
  assert.match(body.error.message, /packing/);
});

test("the engine's refusals keep code and param", async (t) => {
  const refusal = new GatewayError('context_length_exceeded', 'Too long.', { param: 'messages' });
  const { answer, body } = await post(t, {}, { answer: { ...hello, refusal } });
  assert.equal(answer.statusCode, 400);
  assert.deepEqual([body.error.code, body.error.param], ['context_length_exceeded', 'messages']);
  assert.equal(answer.headers['x-should-retry'], 'false');
});

test('unknown fields are ignored and logged once each', async (t) => {
  const logLines: string[] = [];
  const { edge } = await post(t, { wibble: 1, constructor: 2 }, { logLines });
  await edge.app.inject({
    method: 'POST',
    url: '/v1/chat/completions',
    payload: { ...chat, wibble: 2, user: 'u' },
  });
  const fields = logLines.map((line) => JSON.parse(line).field).filter((field) => field !== undefined);
  assert.deepEqual(fields.sort(), ['constructor', 'wibble']);
});

test('the SDK gets an answer, and typed errors with request ids', async (t) => {
  const { client } = await listenEdge(t);
  const completion = await client.chat.completions.create({ ...chat, temperature: 0 });
  assert.equal(completion.choices[0]!.message.content, 'Hello wörld!');
  assert.match(completion._request_id!, /^req_/);
  await assert.rejects(
    client.chat.completions.create({ ...chat, model: 'other' }),
    (error: { status: number; code: string; requestID: string }) =>
      error.status === 404 && error.code === 'model_not_found' && /^req_/.test(error.requestID),
  );
  const model = await client.models.retrieve(card.id);
  assert.equal(model.id, card.id);
});

test("every answer that may be tried again says so, and the SDK's defaults succeed on the second try", async (t) => {
  for (const code of ['queue_full', 'model_loading', 'draining', 'shard_lost', 'internal'] as const) {
    let tries = 0;
    const refusal = new GatewayError(code, 'Not now.', { ...(code !== 'internal' && { retryAfterMs: 5 }) });
    const { origin, completions } = await listenEdge(t, {
      answer: () => (tries++ % 2 === 0 ? { ...hello, refusal } : hello),
    });
    const client = new OpenAI({ baseURL: `${origin}/v1`, apiKey: 'none' });
    const raw = await fetch(`${origin}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(chat),
    });
    assert.equal(raw.headers.get('x-should-retry'), 'true', code);
    if (code !== 'internal')
      assert.deepEqual(['1', '5'], [raw.headers.get('retry-after'), raw.headers.get('retry-after-ms')]);
    tries = 0;
    const ways: (() => Promise<unknown>)[] = [
      () => client.chat.completions.create(chat),
      async () => Array.fromAsync(await client.chat.completions.create({ ...chat, stream: true })),
      () => client.completions.create({ model: card.id, prompt: 'x' }),
      () => client.responses.create({ model: card.id, input: 'x' }),
      async () =>
        Array.fromAsync(await client.responses.create({ model: card.id, input: 'x', stream: true })),
    ];
    // Without a time to wait the SDK takes half a second for each.
    const tried = code === 'internal' ? ways.slice(0, 1) : ways;
    for (const way of tried) await way();
    assert.equal(completions.requests.length, 1 + 2 * tried.length, code);
  }
});

test('n choices share one prompt and are told apart by index', async (t) => {
  const { body, request } = await post(t, { n: 3, speculation: {}, return_token_ids: true });
  assert.ok(Value.Check(ChatCompletion, body));
  assert.equal(request!.choices, 3);
  assert.deepEqual(
    body.choices.map(({ index }: { index: number }) => index),
    [0, 1, 2],
  );
  assert.deepEqual([body.usage.prompt_tokens, body.usage.completion_tokens], [7, 15]);
  assert.deepEqual(body.prompt_token_ids, [1, 2, 3, 4, 5, 6, 7]);
  for (const choice of body.choices) {
    assert.equal(choice.message.content, 'Hello wörld!');
    assert.deepEqual(choice.token_ids, [100, 101, 102, 103, 104]);
    assert.equal(choice.metrics!.rounds, 2);
  }
  assert.ok(!('metrics' in body));
});

test('what a client notes on a request is taken, and the tier that served it is told', async (t) => {
  const notes = {
    metadata: { a: 'x'.repeat(512), ['k'.repeat(64)]: '' },
    user: 'u',
    safety_identifier: 's',
    store: true,
    service_tier: 'flex',
    reasoning_effort: 'none',
    verbosity: 'medium',
    prompt_cache_key: 'p',
  };
  const { answer, body } = await post(t, notes);
  assert.equal(answer.statusCode, 200);
  assert.equal(body.service_tier, 'default');
  assert.ok(!('service_tier' in (await post(t, {})).body));
});

test('fields for the tail reach the completion', async (t) => {
  const { request } = await post(t, {
    frequency_penalty: 0.5,
    presence_penalty: -1,
    repetition_penalty: 1.1,
    logit_bias: { 5: 1.5, 17: -100 },
    min_tokens: 3,
    ignore_eos: true,
    logprobs: true,
    top_logprobs: 2,
    speculation: { verification: { adaptive: { tau: 0.1, lambda2: 0.3 } } },
  });
  const { penalties, logitBias, minTokens, ignoreEos, logprobs, verification } = request!;
  assert.deepEqual(
    { penalties, logitBias, minTokens, ignoreEos, logprobs, verification },
    {
      penalties: { frequency: 0.5, presence: -1, repetition: 1.1 },
      logitBias: [
        { id: 5, bias: 1.5 },
        { id: 17, bias: -100 },
      ],
      minTokens: 3,
      ignoreEos: true,
      logprobs: 2,
      verification: { mode: 'adaptive', tau: 0.1, lambda1: 3, lambda2: 0.3, lambda3: 0.125 },
    },
  );
});

test('fields for the tail are left out where they ask for nothing', async (t) => {
  const { request } = await post(t, {
    frequency_penalty: 0,
    presence_penalty: null,
    repetition_penalty: 1,
    logit_bias: {},
    logprobs: false,
    top_logprobs: 0,
    speculation: { verification: 'coupled' },
  });
  for (const field of ['penalties', 'logitBias', 'logprobs', 'verification', 'minTokens', 'ignoreEos']) {
    assert.ok(!(field in request!), field);
  }
});

test('speculation.verification rejection has a default for its pairs', async (t) => {
  const { request } = await post(t, { speculation: { verification: { rejection: {} } } });
  assert.deepEqual(request!.verification, { mode: 'rejection', topK: 64 });
});
