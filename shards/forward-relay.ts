/**
 * From one worker to the next within a session: dials when the session is opened, not by the first row, and buffers
 * rows meanwhile. Errors from behind keep counting hops: what the next worker calls 0 is 1 here.
 */
import type { ForwardStream, ShardClient } from './client.ts';
import { ShardError, toShardError } from './errors.ts';
import type { ForwardMessage } from './forward-message.ts';
import type { CloseMode } from './messages.ts';
import type { ChainOpen } from './open-message.ts';
import { authorizationOf, type Peers } from './peers.ts';

/** Rows that wait for a dial: frames of one session that its worker can have run meanwhile. */
const dialFramesMax = 64;

export interface ForwardRelay {
  readonly origin: string;
  /** True once no row can go on. close() is still due: workers behind may hold the session. */
  readonly closed: boolean;
  /** False: wait for drained() before the next. */
  send(message: ForwardMessage): boolean;
  drained(): Promise<void>;
  close(mode: CloseMode): void;
}

export function openForwardRelay(options: {
  readonly peers: Peers;
  readonly session: string;
  /** OPEN as this worker got it; route[0] is dialled and gets the rest. */
  readonly open: ChainOpen;
  /** Of the session, at the time of asking: a dial takes its share. */
  readonly remainingMs: () => number;
  /** gap leaves the relay open, everything else closes it for rows. detail.hop counts from this worker. */
  readonly onError: (error: ShardError) => void;
}): ForwardRelay {
  const { peers, session, open } = options;
  const [hop, ...route] = open.route;
  if (hop === undefined) throw new ShardError('bad_request', 'the route has no next hop');
  const { origin } = hop;
  const authorization = authorizationOf(hop);
  let stream: ForwardStream | null = null;
  let waiting: ForwardMessage[] = [];
  let closing: CloseMode | null = null;
  let closed = false;

  function fail(error: ShardError, hopIndex: number): void {
    if (closing !== null || closed) return;
    if (error.code !== 'gap') closed = true;
    options.onError(
      new ShardError(error.code, error.message, { detail: { ...error.detail, hop: hopIndex }, cause: error }),
    );
  }

  function start(client: ShardClient): void {
    if (closing !== null) return;
    stream = client.openForward(
      session,
      { ...open, route, remainingMs: options.remainingMs() },
      {
        onError: (error) => fail(error, 1 + Number(error.detail['hop'] ?? 0)),
        onClose: () => fail(new ShardError('unreachable', `${origin} ended the stream`), 1),
      },
      authorization,
    );
    for (const message of waiting) stream.send(message);
    waiting = [];
  }

  /** Never rejects: whatever goes wrong is told as the hop's error. */
  const dialled = peers
    .dial(hop)
    .then(start)
    .catch((error) => fail(toShardError(error), 1));

  return {
    origin,
    get closed() {
      return closed;
    },
    send(message) {
      if (closed || closing !== null) return false;
      if (stream !== null) return stream.send(message);
      waiting.push(message);
      return waiting.length < dialFramesMax;
    },
    async drained() {
      await dialled;
      await stream?.drained();
    },
    close(mode) {
      if (closing !== null) return;
      closing = mode;
      waiting = [];
      stream?.close(mode);
    },
  };
}
