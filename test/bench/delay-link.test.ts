/** The link over real sockets: order, bytes, back-pressure, endings and the lower bound of the delay. */
import assert from 'node:assert/strict';
import net from 'node:net';
import { type TestContext, test } from 'node:test';
import { openDelayLink } from '../../bench/delay-link.ts';
import { startDelayLinks } from '../../bench/delay-links.ts';

const shape = { delayMs: 10, mbit: null, jitterMs: 0, seed: 1 };

async function listen(t: TestContext, onSocket: (socket: net.Socket) => void): Promise<number> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    onSocket(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as net.AddressInfo).port;
}

async function dial(t: TestContext, port: number): Promise<net.Socket> {
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  t.after(() => socket.destroy());
  socket.on('error', () => {});
  await new Promise<void>((resolve) => socket.once('connect', resolve));
  return socket;
}

async function readAll(socket: net.Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test('openDelayLink delivers every byte in order, both ways, through half-closed streams', async (t) => {
  const target = await listen(t, (socket) => socket.pipe(socket));
  const link = await openDelayLink(target, { ...shape, jitterMs: 5 });
  t.after(() => link.close());
  const socket = await dial(t, link.port);
  const sent = Buffer.from(Uint32Array.from({ length: 200_000 }, (_, i) => i).buffer);
  for (let at = 0; at < sent.length; at += 9_999) socket.write(sent.subarray(at, at + 9_999));
  socket.end();
  assert.ok((await readAll(socket)).equals(sent));
  const { bytesUp, bytesDown, latenessMs } = link.traffic();
  assert.equal(bytesUp, sent.length);
  assert.equal(bytesDown, sent.length);
  assert.ok(latenessMs >= 0);
});

test('openDelayLink is never early', async (t) => {
  const target = await listen(t, (socket) => socket.pipe(socket));
  const link = await openDelayLink(target, shape);
  t.after(() => link.close());
  const socket = await dial(t, link.port);
  for (let i = 0; i < 5; i++) {
    const startedMs = performance.now();
    const echo = new Promise((resolve) => socket.once('data', resolve));
    socket.write('x');
    await echo;
    assert.ok(performance.now() - startedMs >= 2 * shape.delayMs);
  }
});

test('openDelayLink stops reading when the target does, and loses nothing', async (t) => {
  let accepted: net.Socket | undefined;
  const target = await listen(t, (socket) => {
    accepted = socket.pause();
  });
  const link = await openDelayLink(target, shape);
  t.after(() => link.close());
  const socket = await dial(t, link.port);
  const sent = Buffer.alloc(48 * 1024 * 1024, 'back-pressure');
  socket.end(sent);
  // Settled: nothing has come in since the last look.
  let seen = -1;
  while (seen !== link.traffic().bytesUp) {
    seen = link.traffic().bytesUp;
    await new Promise((resolve) => setTimeout(resolve, 60));
  }
  assert.ok(seen < sent.length / 2, `${seen} bytes were read although the target reads none`);
  assert.ok(accepted !== undefined);
  assert.equal((await readAll(accepted)).length, sent.length);
});

test('openDelayLink passes a broken target on', async (t) => {
  const target = await listen(t, (socket) => socket.once('data', () => socket.resetAndDestroy()));
  const link = await openDelayLink(target, shape);
  t.after(() => link.close());
  const socket = await dial(t, link.port);
  socket.resume().write('x');
  await new Promise((resolve) => socket.once('close', resolve));
});

test('openDelayLink closes a connection whose target refuses', async (t) => {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  const link = await openDelayLink(port, shape);
  t.after(() => link.close());
  const socket = await dial(t, link.port);
  socket.resume();
  await new Promise((resolve) => socket.once('close', resolve));
});

test('startDelayLinks runs links in a process of their own, measures them and ends', async (t) => {
  const target = await listen(t, (socket) => socket.pipe(socket));
  const links = await startDelayLinks(shape);
  const socket = await dial(t, await links.open(target));
  socket.end('through');
  assert.equal(String(await readAll(socket)), 'through');
  assert.ok((await links.measureOneWayMs(3)) >= shape.delayMs);
  const traffic = await links.traffic();
  assert.deepEqual(
    traffic.map(({ bytesUp, bytesDown }) => [bytesUp, bytesDown]),
    [[7, 7]],
  );
  await links.close();
});
