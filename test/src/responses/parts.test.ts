/** Event log, lanes, recent responses, truncation and compaction: small parts with sharp edges. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compactionItem, readCompaction } from '../../../src/responses/compaction.ts';
import { createEventLog, OffsetLostError } from '../../../src/responses/event-log.ts';
import { createLanes, lanesMax, waitingMax } from '../../../src/responses/lanes.ts';
import { createRecentResponses } from '../../../src/responses/recent-responses.ts';
import type { ResponseEvent } from '../../../src/responses/response-events.ts';
import { truncateOldest } from '../../../src/responses/truncation.ts';
import { emptyResponse } from '../../support/responses.ts';

const events = (from: number, to: number): ResponseEvent[] =>
  Array.from({ length: to - from }, (_, index) => ({
    type: 'error',
    code: 'x',
    message: 'x',
    param: null,
    sequence_number: from + index,
  }));

test('createEventLog serves readers from any offset that it holds, live and later', async () => {
  const log = createEventLog();
  log.append(events(0, 3));
  const live = Array.fromAsync(log.read(0));
  log.append(events(3, 5));
  log.close();
  assert.deepEqual((await live).flat(), events(1, 5));
  assert.deepEqual((await Array.fromAsync(log.read(-1))).flat(), events(0, 5));
  assert.deepEqual((await Array.fromAsync(log.read(4))).flat(), []);
});

test('createEventLog drops the oldest beyond its bytes and says so', async () => {
  const size = JSON.stringify(events(0, 1)[0]).length;
  const log = createEventLog(5 * size);
  log.append(events(0, 4));
  const slow = log.read(-1);
  await slow.next();
  log.append(events(4, 20));
  log.close();
  assert.deepEqual([log.holds(-1), log.holds(10), log.holds(19)], [false, false, true]);
  await assert.rejects(slow.next(), OffsetLostError);
  await assert.rejects(Array.fromAsync(log.read(-1)), OffsetLostError);
  const rest = (await Array.fromAsync(log.read(17))).flat();
  assert.deepEqual(
    rest.map(({ sequence_number }) => sequence_number),
    [18, 19],
  );
});

test('createLanes bounds lanes and what waits in them, and gives places back', async () => {
  const lanes = createLanes();
  const gate = Promise.withResolvers<void>();
  const task = () => gate.promise;
  for (let lane = 0; lane < lanesMax; lane += 1) lanes.run(`lane ${lane}`, task);
  assert.throws(() => lanes.run('one more', task), { code: 'queue_full' });
  for (let place = 0; place < waitingMax; place += 1) lanes.run('lane 0', task);
  assert.throws(() => lanes.run('lane 1', task), { code: 'queue_full' });
  gate.resolve();
  await lanes.idle();
  lanes.run('one more', task);
  await lanes.idle();
});

test('createRecentResponses keeps the latest, within count and bytes', () => {
  const recent = createRecentResponses();
  const record = (id: string) => ({ response: emptyResponse({ id }), input: [] });
  for (let index = 0; index < 40; index += 1) recent.add(record(`r${index}`));
  assert.equal(recent.find('r0'), null);
  assert.deepEqual(recent.find('r39'), record('r39'));
  recent.forget('r39');
  assert.equal(recent.find('r39'), null);
  const huge = { response: emptyResponse({ id: 'huge', instructions: 'x'.repeat(2 ** 24) }), input: [] };
  recent.add(huge);
  assert.equal(recent.find('r38'), null);
  assert.notEqual(recent.find('huge'), null);
});

test('truncateOldest leaves the longest end of whole turns that fits, and what the system said', () => {
  const roles = fc.constantFrom('system' as const, 'user' as const, 'assistant' as const);
  const messages = fc.array(fc.record({ role: roles, content: fc.string({ maxLength: 20 }) }), {
    minLength: 1,
  });
  fc.assert(
    fc.property(messages, fc.integer({ min: 16, max: 200 }), (all, contextLength) => {
      const count = (some: readonly { content: string }[]) =>
        some.reduce((sum, { content }) => sum + content.length, 0);
      const kept = truncateOldest(all, { contextLength, maxTokens: 10, count });
      const fits = count(kept) <= contextLength - 10;
      assert.deepEqual(
        kept.filter(({ role }) => role === 'system'),
        all.filter(({ role }) => role === 'system'),
      );
      if (kept === all) return;
      const spoken = kept.filter(({ role }) => role !== 'system');
      assert.equal(spoken[0]?.role, 'user');
      const users = spoken.filter(({ role }) => role === 'user').length;
      assert.ok(fits || users === 1);
    }),
  );
});

test('readCompaction reads what compactionItem wrote, and nothing else', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (summary) => {
      assert.equal(readCompaction(compactionItem('id', summary).encrypted_content), summary);
    }),
  );
  assert.equal(readCompaction('gAAAA'), null);
});
