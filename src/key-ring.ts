/**
 * Who may ask, and how much: an account for each API key, or one for everybody where there are no keys. An account's
 * owner name keeps drafts and caches of one key from another.
 */
import { type ApiKey, findApiKey, type KeyLimits, keyCharsMax } from './api-keys.ts';
import { GatewayError } from './errors.ts';
import { RateBucket, type Reservation } from './rate-bucket.ts';

/** How soon a place in the parallel limit may be free: answers take seconds. */
const parallelRetryMs = 1000;

/** One limit as `x-ratelimit-*` tell it. */
export interface RateFigures {
  readonly limit: number;
  readonly remaining: number;
  readonly resetMs: number;
}

export interface Account {
  readonly owner: string;
  /** Counts a request in; the result counts it out. Throws rate_limit_exceeded. */
  enter(): () => void;
  /**
   * Sets tokens aside for a prompt and its answer. Throws rate_limit_exceeded while they are not there (a full minute's
   * worth is enough for any), unless `admitted`: part of a request that was let in before.
   */
  reserve(tokens: number, admitted?: boolean): Reservation;
  /** null where there is no limit. */
  figures(): { readonly requests: RateFigures | null; readonly tokens: RateFigures | null };
}

export interface KeyRing {
  /** Are there keys at all? */
  readonly required: boolean;
  /** The account of an `Authorization` header. Throws invalid_api_key. */
  identify(authorization: string | undefined): Account;
  /** The account that goes by this owner name, if any. */
  accountOf(owner: string): Account | undefined;
}

/** Without keys everybody is one owner. */
export const anonymousOwner = 'anonymous';

/** `keys` may be empty: then nobody is asked for one, and `limits` holds for all together. `now`: monotonic, ms. */
export function createKeyRing(keys: readonly ApiKey[], limits: KeyLimits, now: () => number): KeyRing {
  const accounts = new Map(keys.map((key) => [key.id, openAccount(key.id, key.limits, now)]));
  const anonymous = openAccount(anonymousOwner, limits, now);
  if (keys.length === 0) accounts.set(anonymousOwner, anonymous);
  return {
    required: keys.length > 0,
    identify(authorization) {
      if (keys.length === 0) return anonymous;
      const presented = bearerOf(authorization);
      if (presented === null) {
        throw new GatewayError(
          'invalid_api_key',
          "You didn't provide an API key. Send it as Authorization: Bearer YOUR_KEY.",
        );
      }
      const key = findApiKey(keys, presented);
      if (key === null) throw new GatewayError('invalid_api_key', 'Incorrect API key provided.');
      return accounts.get(key.id)!;
    },
    accountOf: (owner) => accounts.get(owner),
  };
}

/** The key of a Bearer header (RFC 6750 §2.1), or null. */
export function bearerOf(authorization: string | undefined): string | null {
  const key = /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
  return key === undefined || key.length > keyCharsMax ? null : key;
}

function openAccount(owner: string, limits: KeyLimits, now: () => number): Account {
  const bucketOf = (perMin: number | null): RateBucket | null =>
    perMin === null ? null : new RateBucket(perMin, now);
  const requests = bucketOf(limits.requestsPerMin);
  const tokens = bucketOf(limits.tokensPerMin);
  let running = 0;
  return {
    owner,
    enter() {
      requireUnits(requests, 1, 'requests');
      requireUnits(tokens, 1, 'tokens');
      if (limits.parallel !== null && running >= limits.parallel) {
        throw new GatewayError(
          'rate_limit_exceeded',
          `This key may have ${limits.parallel} requests answered at once. Wait for one to end.`,
          { retryAfterMs: parallelRetryMs },
        );
      }
      requests?.take(1);
      running += 1;
      let left = false;
      return () => {
        if (!left) running -= 1;
        left = true;
      };
    },
    reserve(count, admitted = false) {
      if (!admitted) requireUnits(tokens, count, 'tokens');
      return tokens?.reserve(count) ?? unlimited;
    },
    figures: () => ({ requests: figuresOf(requests), tokens: figuresOf(tokens) }),
  };
}

const unlimited: Reservation = { spend() {}, release() {} };

function requireUnits(bucket: RateBucket | null, units: number, unit: string): void {
  const retryAfterMs = bucket?.waitMs(units) ?? 0;
  if (bucket === null || retryAfterMs === 0) return;
  const asked = units > 1 ? `, asked for about ${units}` : '';
  throw new GatewayError(
    'rate_limit_exceeded',
    `Rate limit reached: ${bucket.perMin} ${unit} per minute${asked}. Please try again in ${(retryAfterMs / 1000).toFixed(1)} s.`,
    { retryAfterMs },
  );
}

function figuresOf(bucket: RateBucket | null): RateFigures | null {
  return bucket === null
    ? null
    : { limit: bucket.perMin, remaining: bucket.remaining(), resetMs: bucket.resetMs() };
}
