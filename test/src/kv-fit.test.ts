/** What can never fit is refused with the numbers; what nobody asked for is cut. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../../src/errors.ts';
import { fitCaches } from '../../src/kv-fit.ts';

const fit = (promptTokens: number, maxTokens: number, asked = true): number =>
  fitCaches({ promptTokens, maxTokens, asked, positions: 100, promptParam: 'messages' });

test('an answer may fill the caches; its last token needs no room', () => {
  assert.equal(fit(60, 41), 41);
  assert.equal(fit(100, 1), 1);
  assert.equal(fit(100, 0), 0);
});

test('an answer of no stated length is cut to what fits', () => {
  assert.equal(fit(60, 8000, false), 41);
  assert.equal(fit(100, 8000, false), 1);
});

test('what can never fit names the field, the numbers and the way out', () => {
  const refusal = (param: string, ...numbers: number[]) => {
    return (error: unknown): boolean => {
      assert.ok(error instanceof GatewayError);
      assert.equal(error.code, 'context_length_exceeded');
      assert.equal(error.param, param);
      for (const number of [...numbers, 100, 'FORETOKEN_KV_BYTES'])
        assert.ok(error.message.includes(String(number)), `${number} in: ${error.message}`);
      return true;
    };
  };
  assert.throws(() => fit(60, 42), refusal('max_tokens', 60, 42, 101, 41));
  assert.throws(() => fit(101, 1), refusal('messages', 101));
  assert.throws(() => fit(150, 8000, false), refusal('messages', 150));
});
