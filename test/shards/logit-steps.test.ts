/** Steps against the definitions, at every position of any walk through a sequence. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { TailOptions } from '../../shards/engine.ts';
import { logitSteps } from '../../shards/logit-steps.ts';
import { greedy } from '../../shards/sampler.ts';
import { TokenHistory } from '../../shards/token-history.ts';

const vocab = 8;
const promptLength = 3;
const options = (part: Partial<TailOptions>): TailOptions => ({
  sampling: greedy,
  promptLength,
  eosIds: [],
  minTokens: 0,
  ignoreEos: false,
  ...part,
});

/** Logits for the token behind `ids`, by counting all of them anew. */
function byDefinition(
  logits: readonly number[],
  ids: readonly number[],
  { penalties, logitBias = [], minTokens, eosIds }: TailOptions,
): number[] {
  const output = ids.slice(promptLength);
  return logits.map((logit, id) => {
    let value = Math.fround(logit);
    if (penalties !== undefined) {
      const { frequency, presence, repetition } = penalties;
      if (repetition !== 1 && ids.includes(id)) {
        value = Math.fround(value > 0 ? value / repetition : value * repetition);
      }
      const count = output.filter((said) => said === id).length;
      if (count > 0) value = Math.fround(value - (count * frequency + presence));
    }
    for (const { id: biased, bias } of logitBias) if (biased === id) value = Math.fround(value + bias);
    return output.length < minTokens && eosIds.includes(id) ? -Infinity : value;
  });
}

test('logitSteps equal the definitions along drafts, rejections and new chains', () => {
  const id = fc.nat(vocab - 1);
  const number = (min: number, max: number) => fc.double({ min, max, noNaN: true });
  const anyOptions = fc
    .record({
      penalties: fc.record({
        frequency: number(-2, 2),
        presence: number(-2, 2),
        repetition: fc.constantFrom(1, 0.5, 1.2, 2),
      }),
      logitBias: fc.array(fc.record({ id: fc.nat(vocab + 2), bias: number(-100, 100) }), { maxLength: 4 }),
      minTokens: fc.nat(6),
      eosIds: fc.uniqueArray(id, { maxLength: 2 }),
    })
    .map(options);
  const frame = fc.record({ at: fc.nat(), ids: fc.array(id, { minLength: 1, maxLength: 5 }) });
  const logits = fc.array(number(-20, 20), { minLength: vocab, maxLength: vocab });
  fc.assert(
    fc.property(anyOptions, fc.array(frame, { maxLength: 12 }), logits, (tail, frames, raw) => {
      const steps = logitSteps(tail);
      const history = new TokenHistory();
      history.follow(steps.flatMap(({ follower }) => follower ?? []));
      history.write(0, [1, 2, 1]);
      let held = [1, 2, 1];
      for (const { at, ids } of frames) {
        const position = promptLength + (at % (held.length - promptLength + 1));
        history.write(position, ids);
        held = [...held.slice(0, position), ...ids];
        for (let length = position; length <= held.length; length++) {
          const row = Float32Array.from(raw);
          const output = length - promptLength;
          history.tell(length);
          for (const step of steps) if (output < step.until) step.apply(row, output);
          assert.deepEqual([...row], byDefinition(raw, held.slice(0, length), tail));
        }
      }
    }),
  );
});

test('logitSteps is empty where nothing changes a logit', () => {
  assert.deepEqual(logitSteps(options({})), []);
  assert.deepEqual(logitSteps(options({ penalties: { frequency: 0, presence: 0, repetition: 1 } })), []);
  assert.deepEqual(logitSteps(options({ logitBias: [] })), []);
});
