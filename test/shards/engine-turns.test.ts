import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { systemClock } from '../../shards/clock.ts';
import { createEngineTurns, type EngineTurns } from '../../shards/engine-turns.ts';

/** Passes that take all frames that are there and end when they are told to. */
function frames(): { turns: EngineTurns; waiting: string[]; passes: string[][]; end: () => void } {
  const waiting: string[] = [];
  const passes: string[][] = [];
  let end = (): void => {};
  const turns = createEngineTurns(systemClock, () => {
    if (waiting.length === 0) return null;
    return () => {
      passes.push(waiting.splice(0));
      return new Promise((resolve) => {
        end = resolve;
      });
    };
  });
  return { turns, waiting, passes, end: () => end() };
}

test('createEngineTurns begins a pass behind what arrives together', async () => {
  const { turns, waiting, passes } = frames();
  for (const frame of ['a', 'b']) {
    waiting.push(frame);
    turns.wake();
  }
  assert.deepEqual(passes, []);
  await turn();
  assert.deepEqual(passes, [['a', 'b']]);
});

test('createEngineTurns begins at once where nothing can have arrived together, and never two passes', async () => {
  const { turns, waiting, passes, end } = frames();
  waiting.push('a');
  turns.wake(true);
  assert.deepEqual(passes, [['a']]);
  waiting.push('b');
  turns.wake(true);
  assert.equal(passes.length, 1);
  end();
  await turn();
  assert.deepEqual(passes, [['a'], ['b']]);
});

test('createEngineTurns runs a job before a pass that is woken behind it', async () => {
  const { turns, waiting, passes } = frames();
  const order: string[] = [];
  const job = turns.take(async () => {
    order.push(`job, ${passes.length} passes`);
  });
  waiting.push('a');
  turns.wake(true);
  await job;
  await turn();
  assert.deepEqual(order, ['job, 0 passes']);
  assert.deepEqual(passes, [['a']]);
});
