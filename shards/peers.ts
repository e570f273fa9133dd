/**
 * Next hops that a worker dials: one client per origin, and the manifest that each of its connections has shown. No
 * hidden row leaves for a peer whose model, range or arithmetic has not been seen to fit on that very connection.
 */
import { createShardClient, type ShardClient } from './client.ts';
import type { Clock } from './clock.ts';
import { ShardError } from './errors.ts';
import type { Log } from './log.ts';
import { formatRange, identityDifference, type ShardManifest } from './manifest.ts';
import type { RouteHop } from './open-message.ts';

export interface Peers {
  /** A client whose connection stands and whose peer fits behind this worker. Throws ShardError. */
  dial(hop: RouteHop): Promise<ShardClient>;
  close(): Promise<void>;
}

interface Peer {
  readonly client: ShardClient;
  seen: { readonly generation: number; readonly manifest: ShardManifest } | null;
  usedMs: number;
}

export function createPeers(options: {
  readonly own: ShardManifest;
  readonly peersMax: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly ca?: string;
}): Peers {
  const { own, clock, log, ca } = options;
  const peers = new Map<string, Peer>();
  let closed = false;

  async function dial(hop: RouteHop): Promise<ShardClient> {
    if (closed) throw new ShardError('draining', 'this worker is shutting down');
    const peer = peerOf(hop.origin);
    peer.usedMs = clock.now();
    await peer.client.connect();
    if (peer.seen?.generation !== peer.client.generation) {
      const { generation } = peer.client;
      peer.seen = { generation, manifest: await peer.client.manifest(authorizationOf(hop)) };
    }
    checkPeer(own, hop, peer.seen.manifest);
    return peer.client;
  }

  function peerOf(origin: string): Peer {
    const known = peers.get(origin);
    if (known !== undefined) return known;
    if (peers.size >= options.peersMax) closeOldest();
    const client = createShardClient({
      origin,
      authorization: () => null,
      clock,
      log,
      ...(ca === undefined ? {} : { ca }),
    });
    const peer: Peer = { client, seen: null, usedMs: clock.now() };
    peers.set(origin, peer);
    return peer;
  }

  /** The peer that was dialled longest ago goes; sessions that still run over it are opened elsewhere by the gateway. */
  function closeOldest(): void {
    const [oldest] = [...peers].sort(([, a], [, b]) => a.usedMs - b.usedMs);
    if (oldest === undefined) return;
    peers.delete(oldest[0]);
    void oldest[1].client.close();
  }

  return {
    dial,
    async close() {
      closed = true;
      await Promise.all([...peers.values()].map((peer) => peer.client.close()));
      peers.clear();
    },
  };
}

/** Value of the authorization header for a hop. */
export function authorizationOf(hop: RouteHop): string | null {
  return hop.token === null ? null : `Hop ${hop.token}`;
}

function checkPeer(own: ShardManifest, hop: RouteHop, theirs: ShardManifest): void {
  const { range } = theirs;
  if (range.start !== hop.range.start || range.end !== hop.range.end || range.start !== own.range.end) {
    throw new ShardError(
      'identity_mismatch',
      `${hop.origin} serves layers ${formatRange(range)}, the route needs ${formatRange(hop.range)} behind ${formatRange(own.range)}`,
      { detail: { origin: hop.origin } },
    );
  }
  const field = identityDifference(own.identity, theirs.identity);
  if (field !== null) {
    throw new ShardError('identity_mismatch', `${hop.origin} differs from the worker before it in ${field}`, {
      detail: { origin: hop.origin, field },
    });
  }
}
