/**
 * A limit per minute as a bucket that refills evenly: a full minute's worth may be taken at once, then at the rate.
 * What is only known afterwards (tokens of an answer) is reserved ahead, so that requests side by side cannot all count on
 * the same units; what comes beyond the reservation is taken all the same, and the debt is waited off.
 */

/** Units that are set aside until it is known how many were needed. */
export interface Reservation {
  /** Counts units as they come: out of what is set aside, and beyond it out of the bucket. */
  spend(units: number): void;
  /** Gives back what is left. Later units are taken from the bucket. */
  release(): void;
}

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

  /** Time until so many units are there, or a full bucket if they are more, ms. */
  waitMs(units = 1): number {
    return this.#msUntil(Math.min(units, this.perMin));
  }

  /** Time until the bucket is full, ms. */
  resetMs(): number {
    return this.#msUntil(this.perMin);
  }

  take(units: number): void {
    this.#level = this.#refill() - units;
  }

  /** Sets so many units aside whether they are there or not; never more than a full bucket. */
  reserve(units: number): Reservation {
    let left = Math.min(units, this.perMin);
    this.take(left);
    return {
      spend: (count) => {
        const covered = Math.min(left, count);
        left -= covered;
        this.take(count - covered);
      },
      release: () => {
        this.take(-left);
        left = 0;
      },
    };
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
