/**
 * The way out of a session on one worker: rows go on to the next worker by a relay, or in a star back by the stream
 * that they came on. It tells whether there is room, so that no pass runs whose rows could not leave.
 * Invariant: what an earlier way out says of its room or its end is no word about the present one.
 */
import type { ShardError } from './errors.ts';
import { encodeForward, type ForwardMessage } from './forward-message.ts';
import { type ForwardRelay, openForwardRelay } from './forward-relay.ts';
import type { FrameChannel } from './frame-channel.ts';
import type { CloseMode } from './messages.ts';
import type { ChainOpen } from './open-message.ts';
import type { Peers } from './peers.ts';

export interface SessionOutlet {
  /** What leaves waits for its reader. */
  readonly isBlocked: boolean;
  /** The next worker is lost: nothing leaves before another OPEN. */
  readonly isLost: boolean;
  /** Rows go where this OPEN says, by the relay that is there if it leads to that worker and stands. */
  open(open: ChainOpen): void;
  /** `upstream`: where rows go back without a next worker; null: nowhere, they are dropped. */
  send(message: ForwardMessage, upstream: FrameChannel | null): void;
  /** The session has ended; workers behind are told. */
  close(mode: CloseMode): void;
}

export function createSessionOutlet(options: {
  readonly peers: Peers;
  readonly session: string;
  /** Of the session, at the time of asking, ms. */
  readonly remainingMs: () => number;
  /** Of the next worker or one behind it; detail.hop counts from this one. All but gap lose the relay. */
  readonly onError: (error: ShardError) => void;
  /** There is room again. */
  readonly onRoom: () => void;
}): SessionOutlet {
  const { onError, onRoom, ...ends } = options;
  let relay: ForwardRelay | null = null;
  let blocked = false;
  /** Number of the present way out. */
  let way = 0;

  function open(opened: ChainOpen): void {
    const next = opened.topology === 'chain' ? opened.route[0] : undefined;
    if (relay !== null && !relay.closed && relay.origin === next?.origin) return;
    relay?.close('free');
    relay = null;
    blocked = false;
    way += 1;
    if (next === undefined) return;
    const own = way;
    relay = openForwardRelay({
      ...ends,
      open: opened,
      onError: (error) => {
        if (own === way) onError(error);
      },
    });
  }

  function send(message: ForwardMessage, upstream: FrameChannel | null): void {
    const target = relay ?? upstream;
    if (target === null) return;
    const hasRoom = relay === null ? upstream!.send(encodeForward(message)) : relay.send(message);
    if (hasRoom) return;
    blocked = true;
    const own = way;
    void target.drained().then(() => {
      if (own !== way) return;
      blocked = false;
      onRoom();
    });
  }

  return {
    get isBlocked() {
      return blocked;
    },
    get isLost() {
      return relay?.closed === true;
    },
    open,
    send,
    close: (mode) => relay?.close(mode),
  };
}
