import assert from 'node:assert/strict';
import { createServer as createHttp2Server, type ServerHttp2Session } from 'node:http2';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import { test } from 'node:test';
import { systemClock } from '../../shards/clock.ts';
import {
  backoffBaseMs,
  backoffMaxMs,
  backoffMs,
  type Connection,
  createConnection,
} from '../../shards/connection.ts';
import { ShardError } from '../../shards/errors.ts';
import { pingIntervalMs, pingTimeoutMs } from '../../shards/keep-alive.ts';
import { silentLog } from '../../shards/log.ts';
import { assertNoSockets, eventually } from '../support/fake-ring.ts';
import { createManualClock } from '../support/manual-clock.ts';

interface Peer {
  readonly origin: string;
  readonly sessions: ServerHttp2Session[];
  /** Lets the requests held so far be answered. */
  answer(): void;
  readonly held: number;
  close(): Promise<void>;
}

async function startPeer(port = 0): Promise<Peer> {
  const held: (() => void)[] = [];
  const sessions: ServerHttp2Session[] = [];
  const server = createHttp2Server();
  server.on('session', (session) => {
    sessions.push(session);
    session.on('error', () => {});
  });
  server.on('stream', (stream) => {
    stream.on('error', () => {});
    held.push(() => {
      stream.respond({ ':status': 200 });
      stream.end('ok');
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sessions,
    get held() {
      return held.length;
    },
    answer() {
      for (const reply of held.splice(0)) reply();
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const session of sessions) session.destroy();
      }),
  };
}

function connectionTo(
  origin: string,
  clock = systemClock,
  onLost: (error: ShardError) => void = () => {},
): Connection {
  return createConnection({ origin, clock, log: silentLog, random: () => 0.5, onLost });
}

/** Without the narrowing that TypeScript does on a property it thinks constant. */
function nameOf(connection: Connection): string {
  return connection.state.name;
}

async function refused(connection: Connection): Promise<ShardError> {
  const error = await connection.acquire().then(
    () => assert.fail('must not connect'),
    (reason) => reason,
  );
  assert.ok(error instanceof ShardError);
  assert.equal(error.code, 'unreachable');
  return error;
}

test('createConnection dials once for all who wait, and again after a loss', async () => {
  const peer = await startPeer();
  const losses: ShardError[] = [];
  const connection = connectionTo(peer.origin, systemClock, (error) => losses.push(error));
  assert.equal(nameOf(connection), 'idle');
  const [first, second] = await Promise.all([connection.acquire(), connection.acquire()]);
  assert.equal(first, second);
  assert.equal(nameOf(connection), 'ready');
  await eventually(() => peer.sessions.length === 1, 'the peer sees it');
  peer.sessions[0]!.destroy();
  await eventually(() => connection.state.name === 'idle', 'the loss is noticed');
  assert.equal(connection.current(), null);
  assert.notEqual(await connection.acquire(), first);
  assert.equal(connection.generation, 2);
  assert.ok(connection.bytesSent > 0);
  await connection.close();
  assert.equal(connection.state.name, 'closed');
  assert.deepEqual(
    losses.map(({ code }) => code),
    ['unreachable'],
    'a loss is told once, our own close is none',
  );
  await refused(connection);
  await peer.close();
  await assertNoSockets();
});

test('createConnection lets streams end after GOAWAY and dials anew for the next', async () => {
  const peer = await startPeer();
  const connection = connectionTo(peer.origin);
  const first = await connection.acquire();
  const stream = first.request({ ':path': '/' });
  await eventually(() => peer.held === 1, 'the peer sees it');
  peer.sessions[0]!.close();
  await eventually(() => connection.state.name === 'draining', 'GOAWAY is noticed');
  peer.answer();
  let body = '';
  for await (const chunk of stream.setEncoding('utf8')) body += chunk;
  assert.equal(body, 'ok');
  assert.notEqual(await connection.acquire(), first);
  await connection.close();
  await peer.close();
  await assertNoSockets();
});

test('createConnection backs off after a failed dial and only dials when used', async () => {
  const gone = await startPeer();
  const port = Number(new URL(gone.origin).port);
  await gone.close();
  const clock = createManualClock();
  const connection = connectionTo(gone.origin, clock);
  const first = await refused(connection);
  assert.equal(connection.state.name, 'backing-off');
  assert.equal(await refused(connection), first, 'within the back-off the same error comes at once');
  const back = await startPeer(port);
  clock.advance(backoffBaseMs);
  await connection.acquire();
  assert.equal(connection.generation, 1);
  await connection.close();
  await back.close();
  await assertNoSockets();
});

test('backoffMs doubles, jitters and is capped', () => {
  assert.equal(backoffMs(0, 0.5), backoffBaseMs);
  assert.equal(backoffMs(3, 0.5), 8 * backoffBaseMs);
  assert.equal(backoffMs(0, 0), backoffBaseMs / 2);
  assert.equal(backoffMs(1000, 1), backoffMaxMs);
});

test('createConnection drops a peer that has gone silent', async () => {
  const clock = createManualClock();
  const sockets: import('node:net').Socket[] = [];
  // It accepts, says one SETTINGS frame and then nothing ever again.
  const silent: Server = createTcpServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.resume();
    socket.write(Uint8Array.of(0, 0, 0, 4, 0, 0, 0, 0, 0));
  });
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const connection = connectionTo(`http://127.0.0.1:${(silent.address() as AddressInfo).port}`, clock);
  await connection.acquire();
  await eventually(() => connection.bytesReceived === 9, 'SETTINGS have come');
  for (
    let ms = 0;
    ms < pingTimeoutMs + 2 * pingIntervalMs && connection.state.name === 'ready';
    ms += pingIntervalMs
  ) {
    clock.advance(pingIntervalMs);
  }
  await eventually(() => connection.state.name === 'idle', 'dropped');
  await connection.close();
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => silent.close(resolve));
  await assertNoSockets();
});

test('createConnection counts a peer of another protocol as a failed dial', async () => {
  const rude: Server = createTcpServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => rude.listen(0, '127.0.0.1', resolve));
  const connection = connectionTo(`http://127.0.0.1:${(rude.address() as AddressInfo).port}`);
  await connection.acquire().catch(() => {});
  await eventually(() => connection.state.name === 'backing-off', 'it backs off');
  await connection.close();
  await new Promise((resolve) => rude.close(resolve));
  await assertNoSockets();
});
