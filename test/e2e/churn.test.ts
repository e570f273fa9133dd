/**
 * A crowd on little memory: 32 clients at once, half of whom leave whenever they like, over workers whose caches hold
 * a few answers only. Who stays gets the answer that he would get alone; who leaves leaves nothing behind.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { OpenAiErrorBody } from '../../src/errors.ts';
import { chatEvents, completeChat, postChat, streamChat, textOf } from '../support/chat.ts';
import { makeHome } from '../support/e2e-home.ts';
import { type ForetokenProcess, startGateway, startWorkerProcess } from '../support/gateway-process.ts';
import { eventually, gatewayLoad, workerLoad } from '../support/loads.ts';
import { seededRandom } from '../support/random-blocks.ts';

const clients = 32;
const waves = 5;
/** Waves after which a process has grown to its size: code is compiled, pools and the kept caches are full. */
const warmWaves = 2;
/** What a process may grow by in the waves behind these: noise of garbage collection, far below what sessions hold. */
const growthMax = 1.25;
/** The least that the setting takes. In three layers of the tiny model a position takes 768 bytes: 1,365 of them. */
const kvBytes = 1 << 20;
const kvPositions = 1365;
/** The longest that a client waits before it leaves. */
const patienceMs = 400;
const quietMs = 150;

test('a crowd on little memory', async (t) => {
  const home = await makeHome(t);
  const model = await home.endless({ contextLength: 16_384 });
  const clusterKey = randomUUID();
  const env = { ...home.env, FORETOKEN_CLUSTER_KEY: clusterKey };
  const workers = await Promise.all(
    ['0:3', '3:6'].map((layers) =>
      startWorkerProcess(t, ['--model', model, '--layers', layers, '--kv-bytes', String(kvBytes)], { env }),
    ),
  );
  const origins = workers.map(({ origin }) => origin);
  const gateway = await startGateway(t, ['--model', model, '--workers', origins.join(',')], { env });
  const loads = () => Promise.all(origins.map((origin) => workerLoad(origin, clusterKey)));

  /** Nobody is served and nothing runs; caches of finished answers stay within their budget. */
  async function assertIdle(): Promise<void> {
    const idle = await eventually(loads, 'idle', (all) =>
      all.every(({ sessions, queueFrames }) => sessions + queueFrames === 0),
    );
    await sleep(quietMs);
    assert.deepEqual(await loads(), idle);
    for (const { kvBytes: held } of idle) assert.ok(held <= kvBytes, `${held} bytes of caches`);
    const { running, waiting } = await gatewayLoad(gateway.origin);
    assert.deepEqual({ running, waiting }, { running: 0, waiting: 0 });
  }

  await t.test('what can never fit is refused at once, with the numbers', async () => {
    for (const [fields, param] of [
      [{ max_tokens: 2000 }, 'max_tokens'],
      [{ messages: [{ role: 'user', content: 'Q'.repeat(2000) }] }, 'messages'],
    ] as const) {
      const refused = await postChat(gateway.baseUrl, { model: 'endless', ...fields });
      assert.equal(refused.status, 400);
      assert.equal(refused.headers.get('x-should-retry'), 'false');
      const { error } = (await refused.json()) as OpenAiErrorBody;
      assert.deepEqual(
        { type: error.type, code: error.code, param: error.param },
        { type: 'invalid_request_error', code: 'context_length_exceeded', param },
      );
      assert.match(error.message, new RegExp(`\\b${kvPositions} tokens`));
    }
    await assertIdle();
  });

  await t.test('an answer of no stated length ends where the caches do', async () => {
    const messages = [{ role: 'user', content: 'Q'.repeat(1200) }];
    const { choices, usage } = await completeChat(gateway.baseUrl, { model: 'endless', messages });
    assert.equal(choices[0]!.finish_reason, 'length');
    assert.equal(usage.total_tokens, kvPositions + 1);
    await assertIdle();
  });

  await t.test(`${clients} clients, half of whom leave`, async () => {
    const questions = Array.from({ length: 8 }, (_, i) => ({
      ...{ model: 'endless', max_tokens: 30 + 20 * i, temperature: i % 2, seed: i },
      messages: [
        { role: 'system', content: 'You keep a lighthouse and answer in one line, whatever is asked.' },
        { role: 'user', content: 'Where is the boat? '.repeat(1 + (i % 3)) + i },
      ],
    }));
    const alone: string[] = [];
    for (const question of questions) alone.push(textOf(await streamChat(gateway.baseUrl, question)));

    async function stay(index: number): Promise<void> {
      const said = textOf(await streamChat(gateway.baseUrl, questions[index]!));
      assert.equal(said, alone[index], `question ${index}`);
    }

    /** Hangs up after a while, or after some events, or when the answer ends before. */
    async function leave(index: number, afterMs: number, afterEvents: number): Promise<void> {
      const client = new AbortController();
      const timer = setTimeout(() => client.abort(), afterMs);
      try {
        const question = { ...questions[index]!, max_tokens: 600, stream: true };
        const events = chatEvents(await postChat(gateway.baseUrl, question, client.signal));
        for (let seen = 0; seen < afterEvents; seen++) if ((await events.next()).done) return;
        client.abort();
      } catch (error) {
        if (!client.signal.aborted) throw error;
      } finally {
        clearTimeout(timer);
      }
    }

    const random = seededRandom(7);
    const processes: readonly ForetokenProcess[] = [gateway, ...workers];
    let warmBytes: readonly (number | null)[] = [];
    for (let wave = 1; wave <= waves; wave++) {
      await Promise.all(
        Array.from({ length: clients }, (_, i) => {
          const index = Math.floor(random() * questions.length);
          const [afterMs, afterEvents] = [random() * patienceMs, Math.floor(random() * 40)];
          return i % 2 === 0 ? stay(index) : leave(index, afterMs, afterEvents);
        }),
      );
      await assertIdle();
      if (wave === warmWaves) warmBytes = processes.map(residentBytes);
    }
    for (const [i, bytes] of processes.map(residentBytes).entries()) {
      const warm = warmBytes[i];
      if (bytes === null || warm === null || warm === undefined) continue; // no /proc here
      assert.ok(bytes <= growthMax * warm, `process ${i} grew from ${warm} to ${bytes} bytes`);
      t.diagnostic(`process ${i}: ${(warm / 2 ** 20).toFixed(0)} MiB, then ${(bytes / 2 ** 20).toFixed(0)}`);
    }
  });
});

/** Memory of a process as Linux tells it; null elsewhere. */
function residentBytes({ pid }: ForetokenProcess): number | null {
  if (process.platform !== 'linux') return null;
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return kib === undefined ? null : Number(kib) * 1024;
}
