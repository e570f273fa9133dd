import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAnswerMemory } from '../../src/answer-memory.ts';

const answerOf = (bytes: number) => ({
  status: 200,
  contentType: 'application/json',
  body: new Uint8Array(bytes),
});

function settleNew(memory: ReturnType<typeof createAnswerMemory>, key: string, bytes: number): void {
  const claim = memory.claim(key, 'h');
  assert.ok(claim.type === 'new');
  claim.settle(answerOf(bytes));
}

test('AnswerMemory gives a key to one, its answer to others, and conflicts to other bodies', async () => {
  const memory = createAnswerMemory(() => 0);
  const claim = memory.claim('k', 'h');
  const second = memory.claim('k', 'h');
  assert.ok(claim.type === 'new' && second.type === 'known');
  assert.equal(memory.claim('k', 'other').type, 'conflict');
  claim.settle(answerOf(3));
  assert.equal((await second.answer)!.body.length, 3);
});

test('AnswerMemory forgets what failed, what is old and what is too much', async () => {
  let nowMs = 0;
  const memory = createAnswerMemory(() => nowMs);
  const claim = memory.claim('failed', 'h');
  const waiting = memory.claim('failed', 'h');
  assert.ok(claim.type === 'new' && waiting.type === 'known');
  claim.settle(null);
  assert.equal(await waiting.answer, null);
  assert.equal(memory.claim('failed', 'other').type, 'new');

  settleNew(memory, 'old', 1);
  nowMs = 25 * 60 * 60 * 1000;
  assert.equal(memory.claim('old', 'h').type, 'new');

  for (let i = 0; i < 5; i++) settleNew(memory, `large ${i}`, 16 * 2 ** 20);
  assert.equal(memory.claim('large 0', 'h').type, 'new');
  assert.equal(memory.claim('large 4', 'h').type, 'known');

  for (let i = 0; i < 5000; i++) settleNew(memory, `many ${i}`, 1);
  assert.equal(memory.claim('many 4999', 'h').type, 'known');
  assert.equal(memory.claim('many 0', 'h').type, 'new');
});
