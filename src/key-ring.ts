/**
 * Who may ask, and how much: an account for each API key, or one for everybody where there are no keys. An account's
 * owner name keeps drafts and caches of one key from another.
 */
import { type ApiKey, findApiKey, type KeyLimits, keyCharsMax } from './api-keys.ts';
import { GatewayError } from './errors.ts';
import { RateBucket } from './rate-bucket.ts';

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
  /** Counts tokens, prompt or output, as they come. */
  charge(tokens: number): void;
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
      refuseEmpty(requests, 'requests');
      refuseEmpty(tokens, 'tokens');
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
    charge: (count) => tokens?.take(count),
    figures: () => ({ requests: figuresOf(requests), tokens: figuresOf(tokens) }),
  };
}

function refuseEmpty(bucket: RateBucket | null, unit: string): void {
  if (bucket === null || bucket.remaining() >= 1) return;
  const retryAfterMs = bucket.waitMs();
  throw new GatewayError(
    'rate_limit_exceeded',
    `Rate limit reached: ${bucket.perMin} ${unit} per minute. Please try again in ${(retryAfterMs / 1000).toFixed(1)} s.`,
    { retryAfterMs },
  );
}

function figuresOf(bucket: RateBucket | null): RateFigures | null {
  return bucket === null
    ? null
    : { limit: bucket.perMin, remaining: bucket.remaining(), resetMs: bucket.resetMs() };
}
