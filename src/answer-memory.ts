/**
 * Answers remembered under a client's idempotency keys, so that a request that is sent again is answered once. Bounded
 * in entries, bytes and age; what was forgotten is simply answered anew. An answer that failed is never remembered.
 */

/** Keys that are remembered: a day of a busy client, or a flood of an hour. */
const entriesMax = 4096;
/** All remembered answers together. */
const bytesMax = 64 * 2 ** 20;
/** As long as a client may come back; others that offer such keys keep them a day, too. */
const ageMsMax = 24 * 60 * 60 * 1000;

/** An answer as it went over the wire. */
export interface RememberedAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: Uint8Array;
}

interface Entry {
  readonly bodyHash: string;
  readonly atMs: number;
  /** Resolves to null when the attempt came to nothing. */
  readonly answer: Promise<RememberedAnswer | null>;
  /** 0 while the answer is being made. */
  bytes: number;
}

/** What became of a key: it is new and `settle` must be told the outcome; it is known; it came with another body. */
export type Claim =
  | { readonly type: 'new'; readonly settle: (answer: RememberedAnswer | null) => void }
  | { readonly type: 'known'; readonly answer: Promise<RememberedAnswer | null> }
  | { readonly type: 'conflict' };

export interface AnswerMemory {
  /** `key` includes whose it is and for which URL. */
  claim(key: string, bodyHash: string): Claim;
}

/** `now`: ms. */
export function createAnswerMemory(now: () => number): AnswerMemory {
  /** Oldest first. */
  const entries = new Map<string, Entry>();
  let bytes = 0;

  function forget(key: string): void {
    bytes -= entries.get(key)?.bytes ?? 0;
    entries.delete(key);
  }

  function makeRoom(): void {
    for (const [key, entry] of entries) {
      const isOld = now() - entry.atMs > ageMsMax;
      if (!isOld && entries.size < entriesMax && bytes <= bytesMax) return;
      forget(key);
    }
  }

  return {
    claim(key, bodyHash) {
      makeRoom();
      const known = entries.get(key);
      if (known !== undefined) {
        return known.bodyHash === bodyHash ? { type: 'known', answer: known.answer } : { type: 'conflict' };
      }
      const { promise, resolve } = Promise.withResolvers<RememberedAnswer | null>();
      const entry: Entry = { bodyHash, atMs: now(), answer: promise, bytes: 0 };
      entries.set(key, entry);
      return {
        type: 'new',
        settle(answer) {
          resolve(answer);
          if (entries.get(key) !== entry) return; // forgotten in between
          if (answer === null) {
            forget(key);
            return;
          }
          entry.bytes = answer.body.length;
          bytes += entry.bytes;
          makeRoom();
        },
      };
    },
  };
}
