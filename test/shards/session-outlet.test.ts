/** The way out of a session by hand: relays whose room and errors the test gives. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { ForwardHandlers, ForwardStream, ShardClient } from '../../shards/client.ts';
import { ShardError } from '../../shards/errors.ts';
import type { ForwardMessage } from '../../shards/forward-message.ts';
import type { ChainOpen } from '../../shards/open-message.ts';
import { createSessionOutlet } from '../../shards/session-outlet.ts';
import { chainIdentity } from '../support/fake-ring.ts';

const message: ForwardMessage = {
  ...{ epoch: 1, round: 1, position: 0, ids: Uint32Array.of(1), headFrom: 1, hidden: null, timings: [] },
};

/** The stream to one worker. It has no room until the test makes some. */
interface Way {
  readonly handlers: ForwardHandlers;
  sent: number;
  closed: string | null;
  makeRoom(): void;
}

const refusing = 'http://refusing';

function start() {
  const ways = new Map<string, Way>();
  const events: string[] = [];
  const clientOf = (origin: string): Pick<ShardClient, 'openForward'> => ({
    openForward(_session, _open, handlers) {
      if (origin === refusing) throw new ShardError('bad_request', 'no worker would take this');
      const room = Promise.withResolvers<void>();
      const way: Way = { handlers, sent: 0, closed: null, makeRoom: () => room.resolve() };
      ways.set(origin, way);
      const stream: Partial<ForwardStream> = {
        send() {
          way.sent += 1;
          return false;
        },
        drained: () => room.promise,
        close: (mode) => {
          way.closed = mode;
        },
      };
      return stream as ForwardStream;
    },
  });
  const outlet = createSessionOutlet({
    peers: { dial: async ({ origin }) => clientOf(origin) as ShardClient, close: async () => {} },
    session: 's',
    remainingMs: () => 1000,
    onError: ({ code }) => events.push(code),
    onRoom: () => events.push('room'),
  });
  const openTo = async (origin: string): Promise<Way> => {
    const hop = { origin, range: { start: 2, end: 4 }, token: null };
    const rest = { identity: chainIdentity, remainingMs: 1000, adopt: null };
    outlet.open({ topology: 'chain', route: [hop], ...rest } satisfies ChainOpen);
    await setImmediate();
    return ways.get(origin)!;
  };
  return { outlet, events, openTo };
}

test('createSessionOutlet is blocked until the worker behind has read', async () => {
  const { outlet, events, openTo } = start();
  const way = await openTo('http://one');
  outlet.send(message, null);
  assert.deepEqual([way.sent, outlet.isBlocked], [1, true]);
  way.makeRoom();
  await setImmediate();
  assert.deepEqual([outlet.isBlocked, events], [false, ['room']]);
});

test('createSessionOutlet hears neither room nor errors of a way that it has left', async () => {
  const { outlet, events, openTo } = start();
  const first = await openTo('http://one');
  outlet.send(message, null);
  const second = await openTo('http://two');
  assert.deepEqual([first.closed, outlet.isBlocked], ['free', false]);
  outlet.send(message, null);
  first.makeRoom();
  first.handlers.onError(new ShardError('gap', 'of the first'));
  await setImmediate();
  assert.deepEqual([outlet.isBlocked, events], [true, []]);
  second.makeRoom();
  await setImmediate();
  assert.deepEqual([outlet.isBlocked, events], [false, ['room']]);
});

test('createSessionOutlet keeps a relay to the same worker that stands, and leaves one that is lost', async () => {
  const { outlet, events, openTo } = start();
  const first = await openTo('http://one');
  assert.equal(await openTo('http://one'), first);
  first.handlers.onError(new ShardError('unreachable', 'gone'));
  assert.deepEqual([outlet.isLost, events], [true, ['unreachable']]);
  const second = await openTo('http://one');
  assert.deepEqual([second !== first, outlet.isLost], [true, false]);
  outlet.close('keep');
  assert.equal(second.closed, 'keep');
});

test('createSessionOutlet tells of a stream that cannot be opened, and goes on', async () => {
  const { outlet, events, openTo } = start();
  await openTo(refusing);
  assert.deepEqual([outlet.isLost, events], [true, ['bad_request']]);
  outlet.send(message, null);
  await openTo('http://one');
  assert.deepEqual([outlet.isLost, outlet.isBlocked], [false, false]);
});

test('createSessionOutlet drops what goes back where nobody listens', () => {
  const { outlet } = start();
  outlet.send(message, null);
  assert.equal(outlet.isBlocked, false);
});
