import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../../src/errors.ts';
import { createKeyRing } from '../../src/key-ring.ts';
import { RateBucket } from '../../src/rate-bucket.ts';

function refusal(act: () => unknown): GatewayError {
  try {
    act();
  } catch (error) {
    assert.ok(error instanceof GatewayError);
    return error;
  }
  return assert.fail('must throw');
}

test('RateBucket gives a minute at once, then the rate, and waits off debts', () => {
  let nowMs = 0;
  const bucket = new RateBucket(60, () => nowMs);
  bucket.take(60);
  assert.deepEqual([bucket.remaining(), bucket.waitMs(), bucket.resetMs()], [0, 1000, 60_000]);
  nowMs = 1500;
  assert.deepEqual([bucket.remaining(), bucket.waitMs()], [1, 0]);
  bucket.take(61.5);
  assert.deepEqual([bucket.remaining(), bucket.waitMs()], [0, 61_000]);
  nowMs = 1e9;
  assert.equal(bucket.remaining(), 60);
});

test('createKeyRing without keys has one account for everybody', () => {
  const keys = createKeyRing([], { requestsPerMin: null, tokensPerMin: null, parallel: 1 }, () => 0);
  assert.equal(keys.required, false);
  const account = keys.identify(undefined);
  assert.equal(account, keys.identify('Bearer whatever'));
  assert.equal(account, keys.accountOf('anonymous'));
  const leave = account.enter();
  assert.equal(refusal(() => account.enter()).code, 'rate_limit_exceeded');
  leave();
  leave();
  account.enter();
  assert.equal(refusal(() => account.enter()).retryAfterMs, 1000);
});

test('Account refuses with the time to wait, for requests and for tokens in debt', () => {
  let nowMs = 0;
  const limits = { requestsPerMin: 2, tokensPerMin: 600, parallel: null };
  const account = createKeyRing([], limits, () => nowMs).identify(undefined);
  account.enter();
  account.enter();
  assert.equal(refusal(() => account.enter()).retryAfterMs, 30_000);
  assert.deepEqual(account.figures().requests, { limit: 2, remaining: 0, resetMs: 60_000 });
  nowMs = 60_000;
  account.reserve(0).spend(700);
  const error = refusal(() => account.enter());
  assert.equal(error.retryAfterMs, 10_100);
  assert.match(error.message, /600 tokens per minute/);
});
