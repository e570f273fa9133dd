/**
 * A limit per minute as a bucket that refills evenly: a full minute's worth may be taken at once, then at the rate.
 * What is only known afterwards (tokens of an answer) may be taken beyond what is there; the debt is waited off.
 */

export class RateBucket {
  readonly perMin: number;
  readonly #now: () => number;
  #level: number;
  #atMs: number;

  /** `now`: monotonic, ms. */
  constructor(perMin: number, now: () => number) {
    this.perMin = perMin;
    this.#now = now;
    this.#level = perMin;
    this.#atMs = now();
  }

  /** Whole units that may be taken now; 0 while in debt. */
  remaining(): number {
    return Math.max(0, Math.floor(this.#refill()));
  }

  /** Time until one unit is there, ms. */
  waitMs(): number {
    return this.#msUntil(1);
  }

  /** Time until the bucket is full, ms. */
  resetMs(): number {
    return this.#msUntil(this.perMin);
  }

  take(units: number): void {
    this.#level = this.#refill() - units;
  }

  #msUntil(level: number): number {
    return Math.ceil((Math.max(0, level - this.#refill()) * 60_000) / this.perMin);
  }

  #refill(): number {
    const nowMs = this.#now();
    this.#level = Math.min(this.perMin, this.#level + ((nowMs - this.#atMs) * this.perMin) / 60_000);
    this.#atMs = nowMs;
    return this.#level;
  }
}
