/**
 * What every stream of events owes its reader, whichever endpoint it is of: a head at once, comments while nothing is
 * said, one `[DONE]`, no more in memory than the socket takes, an end for the engine when the reader leaves, and the same
 * bytes for the same idempotency key.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { card, chat, eventually, listenEdge, openEdge } from '../support/edge.ts';

const model = card.id;

const streams = [
  { url: '/v1/chat/completions', body: { ...chat, stream: true } },
  { url: '/v1/completions', body: { model, prompt: 'Hi', stream: true } },
  { url: '/v1/responses', body: { model, input: 'Hi', stream: true } },
  { url: '/v1/responses', body: { model, input: 'Hi', stream: true, background: true } },
] as const;

const nameOf = ({ url, body }: (typeof streams)[number]): string =>
  'background' in body ? `${url} in the background` : url;

function ask(
  origin: string,
  { url, body }: (typeof streams)[number],
  signal?: AbortSignal,
): Promise<Response> {
  return fetch(`${origin}${url}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-request-id': 'mine-1' },
    body: JSON.stringify(body),
    ...(signal !== undefined && { signal }),
  });
}

for (const stream of streams) {
  test(`${nameOf(stream)}: its head comes at once, comments while nothing is said, [DONE] once and last`, async (t) => {
    const limits = { heartbeatIntervalMs: 20, stalledReaderMsMax: 1000 };
    const { origin } = await listenEdge(t, { answer: { rounds: [['x']], roundMs: 200 }, limits });
    const beforeMs = performance.now();
    const response = await ask(origin, stream);
    const headMs = performance.now() - beforeMs;
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8');
    assert.equal(response.headers.get('cache-control'), 'no-cache, no-transform');
    assert.equal(response.headers.get('x-accel-buffering'), 'no');
    assert.equal(response.headers.get('x-request-id'), 'mine-1');
    assert.match(response.headers.get('openai-processing-ms')!, /^\d+$/);
    const text = await response.text();
    assert.ok(performance.now() - beforeMs - headMs > 100, 'the head waited for the answer');
    assert.ok((text.match(/^: heartbeat$/gm) ?? []).length >= 3);
    for (const line of text.split('\n')) assert.match(line, /^(data: .*|event: [a-z_.]+|: heartbeat|)$/);
    assert.equal(text.match(/^data: \[DONE\]$/gm)!.length, 1);
    assert.ok(text.endsWith('data: [DONE]\n\n'));
  });

  test(`${nameOf(stream)}: a reader that leaves ends its engine, unless the response goes on without it`, async (t) => {
    const answer = { rounds: Array.from({ length: 300 }, () => ['x']), roundMs: 5 };
    const { origin, completions } = await listenEdge(t, { answer });
    const leaving = new AbortController();
    const response = await ask(origin, stream, leaving.signal);
    const reader = response.body!.getReader();
    await reader.read();
    await eventually(() => completions.pulled > 2, 'under way');
    leaving.abort();
    if ('background' in stream.body) {
      const { pulled } = completions;
      await eventually(() => completions.pulled > pulled + 5, 'going on');
      assert.equal(completions.ended, 0);
    } else {
      await eventually(() => completions.ended === 1, 'ended');
      assert.ok(completions.pulled < 200, `${completions.pulled} rounds`);
    }
  });

  test(`${nameOf(stream)}: a reader that takes nothing holds back its answer, and is let go in the end`, async (t) => {
    const isBackground = 'background' in stream.body;
    // 200 MB, if all of it were taken into memory; in the background more than the log of events holds.
    const rounds = isBackground ? 80 : 2000;
    const flood = {
      rounds: Array.from({ length: rounds }, () => Array.from({ length: 100 }, () => 'x'.repeat(1000))),
    };
    const limits = { heartbeatIntervalMs: 1000, stalledReaderMsMax: 400 };
    const { app, completions } = await listenEdge(t, { answer: flood, limits });
    const socket = await openDeafReader(t, app.server.address() as { port: number }, stream);
    await eventually(() => completions.ended === 1, 'the answer ended, or was broken off');
    // In the background it is not the reader's: it goes on at its own pace.
    if (isBackground) assert.equal(completions.pulled, rounds);
    else assert.ok(completions.pulled < 400, `${completions.pulled} rounds of 100 kB were pulled`);
    // What the log holds fits the buffers of the sockets: such a reader has been told all.
    if (isBackground) return;
    socket.resume();
    await once(socket, 'close');
  });

  test(`${nameOf(stream)}: the same idempotency key gives the same bytes, and asks the model once`, async (t) => {
    const { app, completions } = await openEdge(t);
    const send = (key: string) =>
      app.inject({
        method: 'POST',
        url: stream.url,
        headers: { 'idempotency-key': key },
        payload: stream.body,
      });
    const first = await send('k');
    const again = await send('k');
    assert.deepEqual([again.statusCode, again.payload], [200, first.payload]);
    assert.equal(again.headers['idempotent-replayed'], 'true');
    assert.equal(completions.requests.length, 1);
    assert.notEqual((await send('l')).payload, first.payload);
  });

  test(`${nameOf(stream)}: a shutdown in mid-answer is told, and is no good end`, async (t) => {
    const { origin, app, completions } = await listenEdge(t, { answer: { rounds: [['x']], hangs: true } });
    const response = await ask(origin, stream);
    await eventually(() => completions.pulled === 1, 'under way');
    const text = response.text();
    const beforeMs = performance.now();
    await app.close();
    assert.ok(performance.now() - beforeMs < 2500);
    assert.match(await text, /shutting down|server_error/);
    // A response ends as failed, unless this is only a reader of it.
    const isResponse = stream.url === '/v1/responses' && !('background' in stream.body);
    assert.equal((await text).includes('[DONE]'), isResponse, await text);
    if (isResponse) assert.match(await text, /event: response\.failed/);
  });
}

/** Asks for the stream and reads its first bytes only. */
async function openDeafReader(
  t: TestContext,
  { port }: { port: number },
  { url, body }: (typeof streams)[number],
) {
  const socket = connect(port, '127.0.0.1');
  t.after(() => socket.destroy());
  socket.on('error', () => {});
  const text = JSON.stringify(body);
  socket.write(
    `POST ${url} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
  await once(socket, 'readable');
  await wait(10);
  return socket;
}
