/**
 * Notices a peer that is silent: a cable pulled, a machine asleep, a NAT entry gone. TCP alone would wait for minutes.
 * A PING goes out whenever nothing was heard for an interval; any byte counts as a sign of life, since a PING waits
 * behind data that is under way.
 */
import type { Http2Session } from 'node:http2';
import type { Clock } from './clock.ts';

/** Silence after which a PING is sent. */
export const pingIntervalMs = 2000;
/** Silence after which the peer counts as lost: longer than a long round trip with a retransmission. */
export const pingTimeoutMs = 6000;

/** Watches until the session closes. `bytesRead` counts bytes from the peer. Returns a stop function. */
export function keepAlive(options: {
  readonly session: Http2Session;
  readonly bytesRead: () => number;
  readonly clock: Clock;
  readonly onSilent: () => void;
}): () => void {
  const { session, clock } = options;
  let heardBytes = options.bytesRead();
  let heardMs = clock.now();
  let cancel = clock.after(pingIntervalMs, look);

  function look(): void {
    if (session.destroyed) return;
    const bytes = options.bytesRead();
    if (bytes !== heardBytes) {
      heardBytes = bytes;
      heardMs = clock.now();
    } else if (clock.now() - heardMs >= pingTimeoutMs) {
      options.onSilent();
      return;
    } else {
      // The answer is not waited for: it shows in bytesRead.
      session.ping(() => {});
    }
    cancel = clock.after(pingIntervalMs, look);
  }

  const stop = (): void => cancel();
  session.once('close', stop);
  return stop;
}
