/** OpenAI's shape of log-probabilities, whole and in chunks. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Value } from 'typebox/value';
import { chatLogprobs, readChatLogprobs } from '../../routes/chat-logprobs.ts';
import { chatCompletion, deltaChunk } from '../../routes/chat-response.ts';
import { ChatChunk, ChatCompletion } from '../../routes/schemas.ts';
import type { RatedToken } from '../../src/token-logprobs.ts';
import { fakeMetrics } from '../support/fake-completions.ts';

const bytesOf = (text: string) => [...new TextEncoder().encode(text)];
const rated: RatedToken[] = [
  {
    ...{ token: 'Hi', logprob: -0.25, bytes: bytesOf('Hi') },
    top: [
      { token: 'Hi', logprob: -0.25, bytes: bytesOf('Hi') },
      { token: '<|end|>', logprob: -2.5, bytes: null },
    ],
  },
  { token: '\\xf0\\x9f', logprob: -1.5, bytes: [0xf0, 0x9f], top: [] },
];
const content = [
  {
    ...{ token: 'Hi', logprob: -0.25, bytes: [72, 105] },
    top_logprobs: [
      { token: 'Hi', logprob: -0.25, bytes: [72, 105] },
      { token: '<|end|>', logprob: -2.5, bytes: null },
    ],
  },
  { token: '\\xf0\\x9f', logprob: -1.5, bytes: [0xf0, 0x9f], top_logprobs: [] },
];
const head = { id: 'x', created: 0, model: 'm', system_fingerprint: 'f' };
const options = { withUsage: false, withMetrics: false, withTokenIds: false, withLogprobs: true, choices: 1 };

test('chatLogprobs has a token each, and none for the end of the answer', () => {
  assert.deepEqual(chatLogprobs([...rated, null]), { content, refusal: null });
  assert.equal(chatLogprobs(undefined), null);
});

test('a whole answer carries the log-probabilities of its choice', () => {
  const usage = { promptTokens: 1, completionTokens: 3, cachedTokens: 0 };
  const end = {
    ...{ type: 'finish' as const, reason: 'stop' as const, metrics: fakeMetrics, seed: 1n },
    usage: { ...usage, acceptedPredictionTokens: 0, rejectedPredictionTokens: 0 },
  };
  const answer = { text: 'Hi', ids: [1, 2, 3], end, logprobs: [...rated, null] };
  const body = chatCompletion(head, [1], [answer], options);
  assert.ok(Value.Check(ChatCompletion, body));
  assert.deepEqual(body.choices[0]!.logprobs, { content, refusal: null });
  const { logprobs: _, ...without } = answer;
  assert.equal(chatCompletion(head, [1], [without], options).choices[0]!.logprobs, null);
});

test('a chunk carries the log-probability of its token', () => {
  const chunk = deltaChunk(head, 0, { content: 'Hi' }, options, { ids: [1], logprobs: rated.slice(0, 1) });
  assert.ok(Value.Check(ChatChunk, chunk));
  assert.deepEqual(chunk.choices[0]!.logprobs, { content: content.slice(0, 1), refusal: null });
  const last = deltaChunk(head, 0, { content: '' }, options, { ids: [2], logprobs: [null] });
  assert.deepEqual(last.choices[0]!.logprobs, { content: [], refusal: null });
});

test('readChatLogprobs asks for alternatives only with log-probabilities', () => {
  assert.deepEqual(readChatLogprobs({}), {});
  assert.deepEqual(readChatLogprobs({ logprobs: null, top_logprobs: null }), {});
  assert.deepEqual(readChatLogprobs({ logprobs: true }), { logprobs: 0 });
  assert.deepEqual(readChatLogprobs({ logprobs: true, top_logprobs: 20 }), { logprobs: 20 });
  assert.throws(() => readChatLogprobs({ top_logprobs: 1 }), {
    code: 'invalid_request',
    param: 'top_logprobs',
  });
});
