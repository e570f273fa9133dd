import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ShardError, type ShardErrorCode, shardErrorCodes } from '../../shards/errors.ts';
import {
  GatewayError,
  type GatewayErrorCode,
  gatewayErrorCodes,
  openAiErrorBody,
  retryHeaders,
  toGatewayError,
} from '../../src/errors.ts';
import { TextError } from '../../src/text/text-error.ts';

test('toGatewayError maps every shard error once, keeps the cause and leaks nothing of it', () => {
  for (const code of Object.keys(shardErrorCodes) as ShardErrorCode[]) {
    const cause = new ShardError(code, 'http://10.0.0.5:9000 said no');
    const error = toGatewayError(cause);
    assert.equal(error.cause, cause);
    assert.ok(error.traits.status >= 429);
    assert.ok(!JSON.stringify(openAiErrorBody(error)).includes('10.0.0.5'));
    assert.equal(toGatewayError(error), error);
  }
});

test('toGatewayError takes anything', () => {
  assert.equal(toGatewayError(new DOMException('x', 'AbortError')).code, 'client_gone');
  for (const thrown of [null, undefined, 'text', 5, {}, new TypeError('x')]) {
    assert.equal(toGatewayError(thrown).code, 'internal');
  }
});

test('every code has an error class, and a retry hint that SDKs honour', () => {
  for (const code of Object.keys(gatewayErrorCodes) as GatewayErrorCode[]) {
    const error = new GatewayError(code, 'x');
    assert.ok(error.traits.status >= 400 && error.traits.status < 600);
    const seconds = Number(retryHeaders(error)['retry-after'] ?? 1);
    assert.ok(seconds > 0 && seconds <= 60);
  }
});

test('toGatewayError tells what the template refuses as a fault of the messages', () => {
  const error = toGatewayError(new TextError('rejected', 'The roles must alternate.'));
  assert.deepEqual(
    [error.code, error.param, error.message],
    ['invalid_request', 'messages', 'The roles must alternate.'],
  );
  assert.equal(toGatewayError(new TextError('corrupt', 'x')).code, 'internal');
});

test('retryHeaders tell a wait in whole seconds and in milliseconds', () => {
  const error = new GatewayError('rate_limit_exceeded', 'x', { retryAfterMs: 1234.5 });
  assert.deepEqual(retryHeaders(error), {
    'x-should-retry': 'true',
    'retry-after': '2',
    'retry-after-ms': '1235',
  });
});
