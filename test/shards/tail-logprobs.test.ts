/** Log-probabilities of a tiny model: the same bytes for any cut into passes, and for prompt and answer alike. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { ShardEngine, TailOptions } from '../../shards/engine.ts';
import { createLocalEngine } from '../../shards/local-engine.ts';
import type { LogprobRows } from '../../shards/logprobs.ts';
import { greedy } from '../../shards/sampler.ts';
import { forwardAlone } from '../support/forward-alone.ts';
import { makeTinyModel } from '../support/tiny-cluster.ts';
import { tinyModel } from '../support/tiny-gguf.ts';

const prompt = [3, 50, 300, 17, 17, 8];
const top = 4;
const options: TailOptions = {
  sampling: { ...greedy, temperature: 0.9, seed: { low: 1, high: 2 } },
  promptLength: prompt.length,
  eosIds: [],
  minTokens: 0,
  ignoreEos: true,
  penalties: { frequency: 0.5, presence: 0.5, repetition: 1.2 },
  logprobs: top,
};

async function startEngine(t: TestContext): Promise<ShardEngine> {
  const model = await makeTinyModel(t);
  const pack = await model.pack({ start: 0, end: tinyModel.layers });
  const engine = await createLocalEngine({ ...pack, threads: 1, kvBytesMax: 64 << 20, minRows: 2 });
  t.after(() => engine.dispose());
  return engine;
}

/** Own log-probability, then alternatives, of each row. */
function flat({ top, own, topIds, topLogprobs }: LogprobRows): number[][] {
  return [...own].map((value, i) => [
    value,
    ...topIds.subarray(i * top, (i + 1) * top),
    ...topLogprobs.subarray(i * top, (i + 1) * top),
  ]);
}

/** Answer and its log-probabilities; draftLength tokens of `known` are drafted each round. */
async function decode(
  engine: ShardEngine,
  session: string,
  count: number,
  known: readonly number[],
  draftLength: number,
): Promise<{ tokens: number[]; rows: number[][] }> {
  await engine.open(session, null);
  await engine.openTail(session, options);
  const tokens = [...prompt];
  const rows: number[][] = [];
  for (let round = 0; tokens.length < prompt.length + count; round++) {
    const position = round === 0 ? 0 : tokens.length - 1;
    const draft = known.slice(tokens.length, tokens.length + draftLength);
    if (draft.length > 0 && round % 2 === 1) draft[draft.length - 1] = 1;
    const ids = Uint32Array.from([...tokens.slice(position), ...draft]);
    const headFrom = tokens.length - 1 - position;
    const { verdict } = await forwardAlone(engine, { session, position, ids, hidden: null, headFrom });
    tokens.push(...verdict!.ids);
    rows.push(...flat(verdict!.logprobs!));
    assert.equal(rows.length, tokens.length - prompt.length);
  }
  await engine.close(session, 'free');
  return { tokens: tokens.slice(0, prompt.length + count), rows: rows.slice(0, count) };
}

test('a verdict carries the log-probabilities of its tokens, whatever was drafted', async (t) => {
  const engine = await startEngine(t);
  const plain = await decode(engine, 'plain', 24, [], 0);
  for (const draftLength of [1, 3, 7]) {
    assert.deepEqual(await decode(engine, `drafts of ${draftLength}`, 24, plain.tokens, draftLength), plain);
  }
  assert.ok(
    plain.rows.some(([own], i) => own !== plain.rows[i]![top + 1]),
    'some token is not the likeliest',
  );
});

test('scores of a prompt equal the log-probabilities of the same tokens as an answer, at any cut', async (t) => {
  const engine = await startEngine(t);
  const { tokens, rows } = await decode(engine, 'answer', 24, [], 0);
  for (const chunk of [2, 5, 64]) {
    const session = `scored by ${chunk}`;
    await engine.open(session, null);
    await engine.openTail(session, { ...options, promptLength: tokens.length });
    const scored: number[][] = [];
    for (let position = 0; position < tokens.length - 1; position += chunk) {
      const ids = Uint32Array.from(tokens.slice(position, position + chunk + 1));
      const pass = { session, position, ids, hidden: null, headFrom: ids.length, scores: true };
      const result = await forwardAlone(engine, pass);
      assert.equal(result.verdict, null);
      scored.push(...flat(result.scores!));
    }
    assert.equal(scored.length, tokens.length - 1);
    assert.deepEqual(scored.slice(prompt.length - 1), rows);
    await engine.close(session, 'free');
  }
});
