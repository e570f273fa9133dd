/**
 * What one worker shows to the next: HMAC-SHA256(cluster key, session | from | to | expiry), good for one session
 * on one hop, so that no worker ever hands the cluster key to an address that it was told. The token carries what it
 * signs: base64url(text) "." base64url(mac). The gateway mints them, the worker that is dialled checks them.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

export interface HopClaim {
  readonly session: string;
  /** Origin of the worker that dials. */
  readonly from: string;
  /** Origin of the worker that is dialled, as the route names it. */
  readonly to: string;
  /** Milliseconds since 1970. Clocks of machines differ: leave minutes, not seconds. */
  readonly expiresAtMs: number;
}

/** Longest token that is looked at: two origins of 256 characters make 840; usual ones make 220. */
export const hopTokenLengthMax = 900;

export function createHopToken(clusterKey: string, claim: HopClaim): string {
  const text = [claim.session, claim.from, claim.to, Math.round(claim.expiresAtMs)].join('|');
  return `${Buffer.from(text).toString('base64url')}.${macOf(clusterKey, text)}`;
}

/** The claim of a genuine token that has not expired, else null. Who may use it where is for the caller to compare. */
export function verifyHopToken(clusterKey: string, token: string, unixMs: number): HopClaim | null {
  if (token.length > hopTokenLengthMax) return null;
  const dot = token.indexOf('.');
  if (dot < 1) return null;
  const text = Buffer.from(token.slice(0, dot), 'base64url').toString();
  if (!equalSecrets(token.slice(dot + 1), macOf(clusterKey, text))) return null;
  const [session, from, to, expiry, ...rest] = text.split('|');
  const expiresAtMs = Number(expiry);
  if (session === undefined || from === undefined || to === undefined || rest.length > 0) return null;
  if (!(expiresAtMs > unixMs)) return null;
  return { session, from, to, expiresAtMs };
}

/** Compares in a time that depends on neither content nor length. */
export function equalSecrets(a: string, b: string): boolean {
  return timingSafeEqual(sha256(a), sha256(b));
}

function macOf(clusterKey: string, text: string): string {
  return createHmac('sha256', clusterKey).update(text).digest('base64url');
}

function sha256(text: string): Uint8Array {
  return createHash('sha256').update(text).digest();
}
