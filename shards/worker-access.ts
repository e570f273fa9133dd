/**
 * Who may ask a worker for what: the cluster key opens everything, a hop token opens the forward stream of its one
 * session and the manifest (the dialling worker looks at it first). Without a cluster key everything is open, which a
 * worker is only started with on loopback.
 */
import type { IncomingHttpHeaders } from 'node:http2';
import { ShardError } from './errors.ts';
import { equalSecrets, type HopClaim, verifyHopToken } from './hop-token.ts';

export type Access =
  /** GET of a probe that only the cluster key opens. */
  | { readonly kind: 'probe' }
  /** GET /v1/shard */
  | { readonly kind: 'manifest' }
  | { readonly kind: 'forward'; readonly session: string }
  | { readonly kind: 'verdicts' };

/** Throws ShardError unauthorized. */
export function checkAccess(
  clusterKey: string | null,
  headers: IncomingHttpHeaders,
  access: Access,
  unixMs: number,
): void {
  if (clusterKey === null) return;
  const authorization = headers.authorization ?? '';
  if (equalSecrets(authorization, `Bearer ${clusterKey}`)) return;
  if (authorization.startsWith('Hop ')) {
    const claim = verifyHopToken(clusterKey, authorization.slice(4), unixMs);
    if (claim !== null && isFor(claim, String(headers[':authority'] ?? ''), access)) return;
  }
  throw new ShardError('unauthorized', 'the cluster key or hop token is missing, wrong or out of date');
}

function isFor(claim: HopClaim, authority: string, access: Access): boolean {
  if (!URL.canParse(claim.to)) return false;
  const named = new URL(claim.to);
  const dialled = `${named.protocol}//${authority}`;
  if (!URL.canParse(dialled) || new URL(dialled).origin !== named.origin) return false;
  return access.kind === 'manifest' || (access.kind === 'forward' && access.session === claim.session);
}
