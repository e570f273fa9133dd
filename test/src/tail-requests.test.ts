/** What a request asks of the tail, from the completion service down through real workers of a tiny model and back. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { chatCompletion } from '../../routes/chat-response.ts';
import type { CompletionRequest, VerificationReport } from '../../src/completion.ts';
import { formatGrammar } from '../../src/grammar/answer-grammar.ts';
import type { Serving } from '../../src/serving.ts';
import type { RatedToken } from '../../src/token-logprobs.ts';
import { makeTinyModel, startTinyCluster } from '../support/tiny-cluster.ts';

const text = 'def add(a, b):\n    return a + b\n\ndef sub(a, b):\n';
const drafters = ['none', 'ngram', 'lm', 'grammar', 'auto'] as const;

/** Forced and free text by turns. */
const listGrammar = formatGrammar({
  kind: 'json_schema',
  schema: { type: 'array', items: { enum: ['sub', 'add', 'subtract'] }, minItems: 4 },
});

interface Said {
  readonly ids: number[];
  readonly text: string;
  readonly logprobs: (RatedToken | null)[];
  readonly report: VerificationReport;
  readonly promptLogprobs: readonly (RatedToken | null)[] | null;
  /** As the chat endpoint would answer, without what may differ from run to run. */
  readonly body: string;
}

async function startServing(t: TestContext): Promise<Serving> {
  const model = await makeTinyModel(t);
  return (await startTinyCluster(t, model, { workers: 2, topology: 'chain', lm: true })).serving;
}

async function ask(serving: Serving, part: Partial<CompletionRequest>): Promise<Said> {
  const completion = await serving.completions.start({
    messages: [],
    promptIds: serving.tokenizer.encodeText(text),
    temperature: 0,
    topP: 1,
    topK: 0,
    minP: 0,
    seed: 7n,
    maxTokens: 24,
    stop: [],
    prediction: null,
    speculation: { drafter: 'auto', draftLength: 'auto' },
    owner: 'test',
    signal: new AbortController().signal,
    ...part,
  });
  const said = { ids: [] as number[], text: '', logprobs: [] as (RatedToken | null)[] };
  for await (const event of completion.events) {
    if (event.type === 'text') {
      said.ids.push(...event.ids);
      said.text += event.deltas.join('');
      said.logprobs.push(...(event.logprobs ?? []));
      continue;
    }
    const head = { id: 'x', created: 0, model: 'tiny', system_fingerprint: 'f' };
    const options = {
      withUsage: false,
      withMetrics: false,
      withTokenIds: true,
      withLogprobs: true,
      choices: 1,
    };
    // Later runs find the prompt's rows of earlier ones.
    const end = { ...event, usage: { ...event.usage, cachedTokens: 0 } };
    const body = chatCompletion(head, completion.promptIds, [{ ...said, end }], options);
    const promptLogprobs = (await completion.promptLogprobs) ?? null;
    return { ...said, report: event.metrics.verification!, promptLogprobs, body: JSON.stringify(body) };
  }
  throw new Error('no finish event');
}

test('log-probabilities are the same bytes whatever drafts', async (t) => {
  const serving = await startServing(t);
  const cases: Partial<CompletionRequest>[] = [
    {},
    { temperature: 0.9 },
    { temperature: 0.9, penalties: { frequency: 0.6, presence: 0.3, repetition: 1.2 } },
    { logitBias: [{ id: 30, bias: 5 }], ignoreEos: true },
    { grammar: { ebnf: listGrammar, param: 'response_format' } },
    {
      grammar: { ebnf: listGrammar, param: 'response_format' },
      temperature: 1.1,
      penalties: { frequency: 0.6, presence: 0.3, repetition: 1.2 },
    },
  ];
  for (const part of cases) {
    const plain = await ask(serving, {
      ...part,
      logprobs: 5,
      speculation: { drafter: 'none', draftLength: 0 },
    });
    assert.equal(plain.logprobs.length, plain.ids.length);
    assert.ok(plain.logprobs.every((token) => token === null || token.top.length === 5));
    for (const drafter of drafters) {
      const run = await ask(serving, { ...part, logprobs: 5, speculation: { drafter, draftLength: 6 } });
      assert.equal(run.body, plain.body, `${drafter} ${JSON.stringify(part)}`);
    }
  }
});

test('a request without log-probabilities gets none, and the same tokens', async (t) => {
  const serving = await startServing(t);
  const without = await ask(serving, {});
  assert.deepEqual(without.logprobs, []);
  assert.deepEqual(without.ids, (await ask(serving, { logprobs: 0 })).ids);
});

test('a prompt is scored without an answer, as the same tokens of an answer are', async (t) => {
  const serving = await startServing(t);
  const answer = await ask(serving, { logprobs: 3, ignoreEos: true, maxTokens: 80 });
  const promptIds = [...serving.tokenizer.encodeText(text), ...answer.ids];
  const scored = await ask(serving, { promptIds, promptLogprobs: true, logprobs: 3, maxTokens: 0 });
  assert.deepEqual(scored.ids, []);
  assert.equal(scored.promptLogprobs!.length, promptIds.length);
  assert.equal(scored.promptLogprobs![0], null);
  assert.deepEqual(scored.promptLogprobs!.slice(-answer.ids.length), answer.logprobs);
  const both = await ask(serving, { promptIds, promptLogprobs: true, logprobs: 3, maxTokens: 5 });
  assert.deepEqual(both.promptLogprobs, scored.promptLogprobs);
  assert.equal(both.ids.length, 5);
  const single = await ask(serving, { promptIds: [5], promptLogprobs: true, logprobs: 1, maxTokens: 0 });
  assert.deepEqual(single.promptLogprobs, [null]);
});

test('min_tokens and ignore_eos keep an answer going', async (t) => {
  const serving = await startServing(t);
  const [eos] = serving.tokenizer.eosIds;
  const towardsEnd = { logitBias: [{ id: eos!, bias: 100 }], logprobs: 0 };
  const short = await ask(serving, towardsEnd);
  assert.deepEqual(short.ids, [eos]);
  // The token that ends an answer is no content of it.
  assert.deepEqual(short.logprobs, [null]);
  const longer = await ask(serving, { ...towardsEnd, minTokens: 5 });
  assert.equal(longer.ids.length, 6);
  assert.equal(longer.ids.indexOf(eos!), 5);
  const endless = await ask(serving, { ...towardsEnd, ignoreEos: true });
  assert.deepEqual(endless.ids, new Array(24).fill(eos));
  assert.equal(endless.logprobs[0]!.bytes, null);
});

test('verification by name: greedy rejection and adaptive at tau 0 say what plain decoding says', async (t) => {
  const serving = await startServing(t);
  const limits = { lambda1: 1e6, lambda2: 1, lambda3: 0 };
  for (const temperature of [0, 0.9]) {
    const plain = await ask(serving, { temperature, speculation: { drafter: 'none', draftLength: 0 } });
    assert.deepEqual(plain.report, { mode: 'coupled', lossless: true, adaptive: null });
    for (const drafter of drafters) {
      const options = { temperature, speculation: { drafter, draftLength: 4 } } as const;
      const strict = await ask(serving, {
        ...options,
        verification: { mode: 'adaptive', tau: 0, ...limits },
      });
      assert.equal(strict.body, plain.body);
      assert.deepEqual(strict.report, {
        mode: 'adaptive',
        lossless: true,
        adaptive: { tau: 0, judged: 0, kept: 0, distortion: 0 },
      });
      const rejection = await ask(serving, { ...options, verification: { mode: 'rejection', topK: 8 } });
      assert.equal(rejection.report.lossless, true);
      if (temperature === 0) assert.equal(rejection.body, plain.body);
    }
  }
});

test('adaptive verification reports what it let through', async (t) => {
  const serving = await startServing(t);
  const prediction = 'def mul(a, b):\n    return a * b\n\ndef div(a, b):\n    return a / b\n';
  for (const [drafter, temperature] of [
    ['lm', 0],
    ['lm', 1],
    ['ngram', 0],
    ['ngram', 1],
  ] as const) {
    const { report, ids } = await ask(serving, {
      ...{ temperature, prediction, maxTokens: 60, ignoreEos: true },
      speculation: { drafter, draftLength: 6 },
      verification: { mode: 'adaptive', tau: 0.9, lambda1: 1e6, lambda2: 1, lambda3: 0 },
    });
    const { tau, judged, kept, distortion } = report.adaptive!;
    assert.equal(report.lossless, false);
    assert.equal(tau, 0.9);
    assert.ok(
      judged > 0 && kept <= judged && distortion >= 0 && distortion <= judged,
      JSON.stringify(report),
    );
    // A copy of other text is a mismatch nearly everywhere, and a flat law lets it pass.
    if (drafter === 'ngram') assert.ok(kept > 0 && distortion > 0, JSON.stringify(report));
    assert.equal(ids.length, 60);
  }
});

test('what contradicts itself or the model is refused before it starts', async (t) => {
  const serving = await startServing(t);
  await assert.rejects(ask(serving, { minTokens: 25 }), { code: 'invalid_request', param: 'min_tokens' });
  const logitBias = [{ id: serving.tokenizer.vocabSize, bias: 1 }];
  await assert.rejects(ask(serving, { logitBias }), { code: 'invalid_request', param: 'logit_bias' });
});
