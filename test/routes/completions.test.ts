/** `POST /v1/completions`: prompts of every form, batches, echo, log-probabilities, the best of several. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import OpenAI from 'openai';
import { Value } from 'typebox/value';
import { TextChunk, type TextChunkBody, TextCompletion } from '../../routes/completion-schemas.ts';
import { card, type EdgeOptions, hello, listenEdge, openEdge, tinyPrompts } from '../support/edge.ts';

const url = '/v1/completions';
const model = card.id;

async function post(t: TestContext, fields: object, options: EdgeOptions = {}) {
  const edge = await openEdge(t, options);
  const answer = await edge.app.inject({ method: 'POST', url, payload: { model, ...fields } });
  return { answer, body: answer.json(), requests: edge.completions.requests };
}

async function streamed(t: TestContext, fields: object, options: EdgeOptions = {}) {
  const { app } = await openEdge(t, options);
  const answer = await app.inject({ method: 'POST', url, payload: { model, stream: true, ...fields } });
  const data = answer.payload.split('\n\n').flatMap((line) => line.match(/^data: (.*)/)?.[1] ?? []);
  return { data, chunks: data.slice(0, -1).map((line) => JSON.parse(line) as TextChunkBody) };
}

test('a text is gone on with, from its own ids and OpenAI defaults', async (t) => {
  const { body, requests } = await post(t, { prompt: 'one two' });
  assert.ok(Value.Check(TextCompletion, body));
  assert.match(body.id, /^cmpl-/);
  const { text, index, logprobs, finish_reason } = body.choices[0]!;
  assert.deepEqual([text, index, logprobs, finish_reason], ['Hello wörld!', 0, null, 'stop']);
  const [request] = requests;
  assert.deepEqual(request!.promptIds, tinyPrompts.encodePrompt('one two'));
  assert.deepEqual([request!.maxTokens, request!.choices, request!.temperature], [16, 1, 1]);
  assert.equal(body.usage.prompt_tokens, request!.promptIds!.length);
});

test('a prompt may be ids, and without one the answer starts a document', async (t) => {
  const { requests } = await post(t, { prompt: [1, 5, 9] });
  assert.deepEqual(requests[0]!.promptIds, [1, 5, 9]);
  for (const prompt of [null, undefined, '']) {
    const { requests: empty } = await post(t, { prompt });
    assert.deepEqual(empty[0]!.promptIds, tinyPrompts.encodePrompt(''));
    assert.equal(empty[0]!.promptIds!.length, 1);
  }
});

test('control tokens in a prompt are those tokens, as the owner of the prompt wrote them', async (t) => {
  const { requests } = await post(t, { prompt: '<|im_start|>user' });
  assert.equal(requests[0]!.promptIds![0], 1);
});

test('a batch is answered by prompt and choice, and its usage summed', async (t) => {
  for (const prompt of [
    ['a', 'bb', 'ccc'],
    [[1], [2, 3], [4, 5, 6]],
  ]) {
    const { body, requests } = await post(t, { prompt, n: 2, echo: true });
    assert.ok(Value.Check(TextCompletion, body));
    assert.equal(requests.length, 3);
    assert.deepEqual(
      body.choices.map(({ index }) => index),
      [0, 1, 2, 3, 4, 5],
    );
    const sent = requests.reduce((sum, { promptIds }) => sum + promptIds!.length, 0);
    assert.deepEqual([body.usage.prompt_tokens, body.usage.completion_tokens], [sent, 6 * 5]);
    if (typeof prompt[0] === 'string') {
      assert.deepEqual(
        body.choices.map(({ text }) => text.replace('Hello wörld!', '')),
        ['a', 'a', 'bb', 'bb', 'ccc', 'ccc'],
      );
    }
  }
});

test('a long batch is answered a few prompts at a time', async (t) => {
  let runningMax = 0;
  const { app, completions } = await openEdge(t, {
    answer: () => {
      runningMax = Math.max(runningMax, completions.requests.length - completions.ended);
      return { rounds: [['x']], roundMs: 15 };
    },
  });
  const prompt = Array.from({ length: 20 }, (_, i) => `prompt ${i}`);
  const answer = await app.inject({ method: 'POST', url, payload: { model, prompt } });
  assert.equal(answer.json().choices.length, 20);
  assert.equal(runningMax, 4);
});

test('echo with logprobs lists the prompt too, the first token without one', async (t) => {
  const { body, requests } = await post(t, { prompt: [40, 41, 42], echo: true, logprobs: 2 });
  assert.ok(Value.Check(TextCompletion, body));
  assert.deepEqual([requests[0]!.logprobs, requests[0]!.promptLogprobs], [2, true]);
  const { logprobs, text } = body.choices[0]!;
  assert.deepEqual(logprobs!.token_logprobs, [null, -1, -2, -1, -2, -3, -4, -5]);
  assert.deepEqual(logprobs!.tokens.slice(1, 5), ['p41', 'p42', 'Hel', 'lo']);
  assert.equal(logprobs!.top_logprobs[0], null);
  assert.deepEqual(logprobs!.top_logprobs[3], { alt0: -2, alt1: -3, Hel: -1 });
  const points = [...text];
  assert.deepEqual(logprobs!.text_offset, [0, 1, 2, 3, 6, 8, 8, 14]);
  assert.equal(points.slice(14).join(''), '!');
});

test('echo and logprobs with max_tokens 0 rate the prompt alone, as evaluation harnesses ask', async (t) => {
  const { body, requests } = await post(t, { prompt: 'the answer', echo: true, logprobs: 1, max_tokens: 0 });
  assert.deepEqual([requests[0]!.maxTokens, requests[0]!.promptLogprobs], [0, true]);
  const { logprobs, text } = body.choices[0]!;
  assert.equal(text, 'the answer');
  assert.equal(logprobs!.tokens.length, tinyPrompts.encodePrompt('the answer').length);
  assert.equal(body.usage.completion_tokens, 0);
});

test('logprobs without echo are of the answer alone; 0 gives no alternatives', async (t) => {
  const { body, requests } = await post(t, { prompt: 'x', logprobs: 0 });
  assert.equal(requests[0]!.promptLogprobs, undefined);
  const { logprobs } = body.choices[0]!;
  assert.deepEqual(logprobs!.top_logprobs[0], { Hel: -1 });
  assert.deepEqual(logprobs!.text_offset, [0, 3, 5, 5, 11]);
});

test('best_of returns the likeliest, best first, and bills all', async (t) => {
  const { body, requests } = await post(t, {
    prompt: 'x',
    n: 2,
    best_of: 4,
    return_token_ids: true,
    speculation: {},
  });
  assert.ok(Value.Check(TextCompletion, body));
  assert.deepEqual([requests[0]!.choices, requests[0]!.logprobs], [4, 0]);
  assert.deepEqual(
    body.choices.map(({ index, logprobs }) => [index, logprobs]),
    [
      [0, null],
      [1, null],
    ],
  );
  assert.equal(body.usage.completion_tokens, 20);
  assert.deepEqual(body.choices[0]!.token_ids, [100, 101, 102, 103, 104]);
  assert.deepEqual(body.choices[0]!.prompt_token_ids, requests[0]!.promptIds);
  assert.equal(body.choices[0]!.metrics!.rounds, 2);
});

test('a stream has chunks of text_completion, the finish of each choice, usage and [DONE]', async (t) => {
  const { chunks, data } = await streamed(t, {
    prompt: ['a', 'b'],
    n: 2,
    echo: true,
    logprobs: 1,
    stream_options: { include_usage: true },
    return_token_ids: true,
  });
  assert.equal(data.at(-1), '[DONE]');
  for (const chunk of chunks) assert.ok(Value.Check(TextChunk, chunk));
  assert.equal(new Set(chunks.map(({ id }) => id)).size, 1);
  for (const index of [0, 1, 2, 3]) {
    const own = chunks.flatMap(({ choices }) => choices).filter((choice) => choice.index === index);
    assert.equal(own.map(({ text }) => text).join(''), `${index < 2 ? 'a' : 'b'}Hello wörld!`);
    assert.equal(own.filter(({ finish_reason }) => finish_reason !== null).length, 1);
    assert.equal(own.at(-1)!.finish_reason, 'stop');
    assert.deepEqual(
      own.flatMap(({ logprobs }) => logprobs?.text_offset ?? []),
      [0, 1, 4, 6, 6, 12],
    );
    assert.deepEqual(
      own.flatMap(({ token_ids }) => token_ids ?? []),
      [100, 101, 102, 103, 104],
    );
    assert.equal(own.filter(({ prompt_token_ids }) => prompt_token_ids !== undefined).length, 1);
  }
  assert.ok(chunks.slice(0, -1).every(({ usage }) => usage === null));
  assert.deepEqual([chunks.at(-1)!.choices, chunks.at(-1)!.usage!.completion_tokens], [[], 20]);
});

test("the SDK reads answers and streams, and gets what it can't have told by name", async (t) => {
  const { client } = await listenEdge(t);
  const whole = await client.completions.create({ model, prompt: 'x', logprobs: 1 });
  assert.equal(whole.choices[0]!.text, 'Hello wörld!');
  let text = '';
  for await (const chunk of await client.completions.create({ model, prompt: 'x', stream: true })) {
    text += chunk.choices[0]?.text ?? '';
  }
  assert.equal(text, hello.rounds.flat().join(''));
  await assert.rejects(client.completions.create({ model, prompt: 'x', suffix: 'y' }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    return error.param === 'suffix';
  });
});

test('what a client notes on a request is taken here too', async (t) => {
  const notes = { metadata: { a: 'b' }, store: true, user: 'u', service_tier: 'auto', nonsense: 1 };
  assert.equal((await post(t, { prompt: 'x', ...notes })).answer.statusCode, 200);
});

test('what cannot be is refused with the name of the field, before anything starts', async (t) => {
  const { app, completions } = await openEdge(t);
  const long = Array.from({ length: 512 }, () => 1);
  const cases: [object, string, RegExp, string?][] = [
    [{ prompt: [] }, 'prompt', /fewer than 1/],
    [{ prompt: ['a', 1] }, 'prompt[1]', /must be/],
    [{ prompt: [[1], []] }, 'prompt[1]', /fewer than 1/],
    [{ prompt: [-1] }, 'prompt[0]', />= 0/],
    [{ prompt: [1, 320] }, 'prompt[1]', /vocabulary ends at 319/],
    [{ prompt: [[1], [9, 999]] }, 'prompt[1][1]', /vocabulary/],
    [{ prompt: Array.from({ length: 129 }, () => 'x') }, 'prompt', /more than 128/],
    [{ best_of: 2, n: 3 }, 'best_of', /at least 'n'/],
    [{ best_of: 2, stream: true }, 'best_of', /streaming/],
    [{ logprobs: 6 }, 'logprobs', /<= 5/],
    [{ logprobs: true }, 'logprobs', /integer/],
    [{ stream_options: {} }, 'stream_options', /only allowed/],
    [{ tools: [{}] }, 'tools', /not supported/],
    [{ messages: [] }, 'messages', /of chats/],
    [{ reasoning_effort: 'high' }, 'reasoning_effort', /of chats/],
    [{ top_logprobs: 2 }, 'top_logprobs', /of chats/],
    [{ max_completion_tokens: 5 }, 'max_completion_tokens', /not supported/],
    [{ prompt: long }, 'prompt', /maximum context length is 512/, 'context_length_exceeded'],
    [{ prompt: [[1], long] }, 'prompt[1]', /maximum context length is 512/, 'context_length_exceeded'],
    [{ prompt: 'x '.repeat(100_000) }, 'prompt', /characters/, 'context_length_exceeded'],
  ];
  for (const [fields, param, message, code = undefined] of cases) {
    const answer = await app.inject({ method: 'POST', url, payload: { model, ...fields } });
    const { error } = answer.json();
    assert.equal(answer.statusCode, 400, answer.payload);
    assert.equal(error.param, param, error.message);
    assert.match(error.message, message);
    if (code !== undefined) assert.equal(error.code, code);
  }
  assert.equal(completions.requests.length, 0);
});
