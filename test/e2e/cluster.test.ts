/**
 * Workers that were started by hand: a gateway orders those that fit and refuses those that do not, by their address and
 * with what to change.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { completeChat } from '../support/chat.ts';
import { makeHome } from '../support/e2e-home.ts';
import { assertGone, startForetoken, startGateway, startWorkerProcess } from '../support/gateway-process.ts';

test('foretoken --workers', async (t) => {
  const home = await makeHome(t);
  const model = await home.tiny();
  const otherModel = await home.tiny({ seed: 2, name: 'other' });
  const clusterKey = randomUUID();
  const env = { ...home.env, FORETOKEN_CLUSTER_KEY: clusterKey };
  const worker = (layers: string, path = model) =>
    startWorkerProcess(t, ['--model', path, '--layers', layers], { env });
  const [first, middle, last, overlapping, foreign] = await Promise.all([
    worker('0:2'),
    worker('2:4'),
    worker('4:6'),
    worker('3:6'),
    worker('2:6', otherModel),
  ]);

  const args = (...workers: { origin: string }[]): string[] => [
    ...['--model', model, '--workers', workers.map(({ origin }) => origin).join(',')],
  ];
  const answers: string[] = [];
  const refusal = async (...workers: { origin: string }[]): Promise<string> => {
    const gateway = startForetoken(t, ['--port', '0', ...args(...workers)], { env });
    assert.deepEqual(await gateway.exited, { code: 1, signal: null }, gateway.stderr());
    assert.doesNotMatch(gateway.stderr(), /^\s+at /m);
    return gateway.stderr();
  };

  for (const topology of ['chain', 'star']) {
    await t.test(`puts workers given in any order into a ${topology}`, async (t) => {
      const gateway = await startGateway(t, [...args(last, first, middle), '--topology', topology], { env });
      assert.match(gateway.stdout(), new RegExp(`^shard +layers \\[4, 6\\) at ${last.origin}$`, 'm'));
      const { choices } = await completeChat(gateway.baseUrl, { model: 'tiny', max_tokens: 40 });
      answers.push(choices[0]!.message.content!);
      await gateway.stop();
    });
  }
  await t.test('answers the same over either topology', () => assert.equal(answers[0], answers[1]));

  await t.test('refuses gaps and overlaps', async () => {
    const [start, inside, end] = await Promise.all([
      refusal(middle, last),
      refusal(last, first),
      refusal(first, middle),
    ]);
    assert.match(start, new RegExp(`layers \\[0, 2\\).*${middle.origin}.*--layers 0:2`));
    assert.match(inside, new RegExp(`layers \\[2, 4\\).*${last.origin}.*--layers 2:4`));
    assert.match(end, new RegExp(`layers \\[4, 6\\).*${middle.origin}.*--layers 4:6`));
    const overlap = await refusal(overlapping, middle, first);
    assert.match(overlap, new RegExp(`${overlapping.origin} serves layers \\[3, 6\\).*must not overlap`));
  });

  await t.test('refuses workers of another file than its own', async () => {
    const pattern = new RegExp(`Worker ${foreign.origin} serves another file \\(other, .*same --model`);
    assert.match(await refusal(first, foreign), pattern);
  });

  await t.test('refuses a wrong cluster key, naming a worker and not the key', async (t) => {
    const wrong = randomUUID();
    const gateway = startForetoken(t, ['--port', '0', ...args(first, middle, last)], {
      env: { ...env, FORETOKEN_CLUSTER_KEY: wrong },
    });
    assert.deepEqual(await gateway.exited, { code: 1, signal: null });
    assert.match(
      gateway.stderr(),
      /^foretoken: Worker http:\S+ refuses the cluster key.*FORETOKEN_CLUSTER_KEY/m,
    );
    for (const secret of [wrong, clusterKey]) assert.ok(!gateway.stderr().includes(secret));
  });

  await t.test('says which worker it waits for, and goes on when that one comes', async (t) => {
    const { port } = new URL(middle.origin);
    middle.kill('SIGINT');
    await middle.exited;
    const gateway = startForetoken(t, ['--port', '0', ...args(first, middle, last)], { env });
    await gateway.said('stderr', new RegExp(`${middle.origin}".*does not answer yet`));
    await startWorkerProcess(t, ['--model', model, '--layers', '2:4'], { env, port: Number(port) });
    const [, baseUrl] = await gateway.said('stdout', /^ready +(\S+)/m);
    const { choices } = await completeChat(baseUrl!, { model: 'tiny', max_tokens: 40 });
    assert.equal(choices[0]!.message.content, answers[0]);
  });

  await t.test('leaves workers by hand alone, which end by their own Ctrl-C', async () => {
    for (const { kill, tree, exited } of [first, last]) {
      const pids = tree();
      kill('SIGINT');
      await assertGone(pids);
      assert.deepEqual(await exited, { code: 0, signal: null });
    }
  });
});

test('foretoken worker refuses layers that the model has not', async (t) => {
  const home = await makeHome(t);
  const worker = startForetoken(
    t,
    ['worker', '--model', await home.tiny(), '--layers', '4:9', '--listen', '127.0.0.1:0'],
    home,
  );
  assert.deepEqual(await worker.exited, { code: 1, signal: null });
  assert.match(worker.stderr(), /^foretoken: tiny has 6 layers; \[4, 9\) is not among them/m);
});
