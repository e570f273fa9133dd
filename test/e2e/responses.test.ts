/** Stored responses over real processes: across a stop and across a crash, and sockets that a stop closes. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import OpenAI from 'openai';
import { makeHome } from '../support/e2e-home.ts';
import { assertGone, startGateway } from '../support/gateway-process.ts';

test('foretoken keeps responses', async (t) => {
  const home = await makeHome(t);
  const model = 'endless';
  const args = ['--model', await home.endless(), '--shards', '1', '--draft', 'none'];
  const start = async () => {
    const gateway = await startGateway(t, args, { env: home.env });
    return { gateway, client: new OpenAI({ baseURL: gateway.baseUrl, apiKey: 'none', maxRetries: 0 }) };
  };
  const greedy = { model, temperature: 0, max_output_tokens: 12 };
  let running = await start();

  await t.test('an answer is that of a chat with the same messages', async () => {
    const response = await running.client.responses.create({ ...greedy, input: 'One' });
    const chat = await running.client.chat.completions.create({
      ...{ model, temperature: 0, max_completion_tokens: 12 },
      messages: [{ role: 'user', content: 'One' }],
    });
    assert.equal(response.output_text, chat.choices[0]!.message.content);
    assert.equal(response.status, 'incomplete');
  });

  let first = '';
  let left = '';
  await t.test('a stop closes sockets with 1012 and ends as promised', async () => {
    first = (await running.client.responses.create({ ...greedy, input: 'One' })).id;
    const socket = new WebSocket(`${running.gateway.origin.replace('http', 'ws')}/v1/responses`);
    const closed = once(socket, 'close') as Promise<[CloseEvent]>;
    await once(socket, 'open');
    socket.send(JSON.stringify({ type: 'response.create', model, input: 'Go on', max_output_tokens: 4000 }));
    await once(socket, 'message');
    await running.gateway.stop();
    assert.equal((await closed)[0].code, 1012);
  });

  await t.test('a chain goes on after a start', async () => {
    running = await start();
    const next = await running.client.responses.create({
      ...greedy,
      input: 'Two',
      previous_response_id: first,
    });
    const items = await running.client.responses.inputItems.list(next.id);
    assert.equal(items.data.length, 3);
  });

  await t.test('what a crash left unfinished has failed', async () => {
    const fields = { model, input: 'Go on', max_output_tokens: 4000, background: true };
    left = (await running.client.responses.create(fields)).id;
    const tree = running.gateway.tree();
    running.gateway.kill('SIGKILL');
    await assertGone(tree);
    running = await start();
    const response = await running.client.responses.retrieve(left);
    assert.deepEqual([response.status, response.error?.code], ['failed', 'server_error']);
    await running.gateway.stop();
  });
});
