/** The peer's processes, as a stub of the HTTP surface that is used; its lines and goals on made-up runs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startDelayLinks } from '../../bench/delay-links.ts';
import { startRpcStages } from '../../bench/llama-cpp.ts';
import { type PeerRun, peerGoals, peerLines } from '../../bench/peer.ts';

const llamaServer = new URL('../support/stub-llama-server.mjs', import.meta.url).pathname;
const rpcServer = new URL('../support/stub-rpc-server.mjs', import.meta.url).pathname;
const noDelay = { delayMs: 0, mbit: null, jitterMs: 0, seed: 0 };

test('startRpcStages reaches every stage through its link, and answers carry timings', async () => {
  const links = await startDelayLinks(noDelay);
  const stages = await startRpcStages({ llamaServer, rpcServer }, links, 2);
  const server = await stages.startServer('model.gguf', ['--spec-type', 'ngram-mod']);
  try {
    assert.deepEqual(await server.answer('hello', 12), { tokens: 12, decodeMs: 110, accepted: 4 });
    // The stub greets each stage when it starts, as weights would go.
    assert.ok((await links.traffic()).every(({ bytesUp }) => bytesUp > 0));
    await assert.rejects(server.answer('fail', 12), /llama-server answered 500: .*made to fail/);
  } finally {
    await server.close();
    await stages.close();
    await links.close();
  }
});

test('startRpcStages says why a program does not start', async () => {
  const links = await startDelayLinks(noDelay);
  const stages = await startRpcStages({ llamaServer, rpcServer }, links, 1);
  try {
    await assert.rejects(stages.startServer('missing.gguf', []), /did not start: .*\n.*no such model/s);
    const nowhere = { llamaServer, rpcServer: '/nowhere/rpc-server' };
    await assert.rejects(startRpcStages(nowhere, links, 1), /nowhere.*did not start: .*ENOENT/);
  } finally {
    await stages.close();
    await links.close();
  }
});

test('peerLines sums a mode and peerGoals sets our best against the best of the other', () => {
  const run = (mode: string, decodeMs: number, passes: number | null): PeerRun => ({
    ...{ set: 'gsm8k', prompt: 'a', mode, decodeTokens: 20, decodeMs, passes },
  });
  const lines = peerLines([
    run('plain chain', 2000, 20),
    run('head async', 500, 5),
    run('llama.cpp plain', 2500, null),
    run('llama.cpp ngram-mod 4/8', 2000, 10),
  ]);
  assert.deepEqual(
    lines.map(({ tokensPerSecond, tokensPerPass }) => [tokensPerSecond, tokensPerPass]),
    [
      [10, 1],
      [40, 4],
      [8, Number.NaN],
      [10, 2],
    ],
  );
  const goals = new Map(peerGoals(lines).map((goal) => [goal.name.split(':')[0], goal]));
  assert.deepEqual([goals.get('gsm8k')?.measured, goals.get('gsm8k')?.met], [4, true]);
  assert.ok(Number.isNaN(goals.get('edit')?.measured));
});
