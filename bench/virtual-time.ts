/**
 * A clock that jumps from one event to the next, for simulations: the same events at the same times always run in the
 * same order. Between two events all promises that the first one settled are carried on.
 */

interface Event {
  readonly atMs: number;
  /** Order among events of one time. */
  readonly number: number;
  readonly run: () => void;
}

export class VirtualTime {
  private nowMs = 0;
  private count = 0;
  /** A binary heap: no event is before its parent at (index - 1) >> 1. */
  private readonly events: Event[] = [];

  now = (): number => this.nowMs;

  /** Events that have not happened yet. */
  get pending(): number {
    return this.events.length;
  }

  after(delayMs: number, run: () => void): void {
    const { events } = this;
    const event = { atMs: this.nowMs + delayMs, number: this.count++, run };
    let index = events.length;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!isBefore(event, events[parent]!)) break;
      events[index] = events[parent]!;
      index = parent;
    }
    events[index] = event;
  }

  /** Runs until nothing is left to happen. Throws what an event, or the look after each, throws. */
  async run(look: () => void = () => {}): Promise<void> {
    for (let event = this.take(); event !== null; event = this.take()) {
      this.nowMs = event.atMs;
      event.run();
      await new Promise((resolve) => setImmediate(resolve));
      look();
    }
  }

  private take(): Event | null {
    const { events } = this;
    const first = events[0];
    if (first === undefined) return null;
    const last = events.pop()!;
    if (events.length === 0) return first;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= events.length) break;
      if (child + 1 < events.length && isBefore(events[child + 1]!, events[child]!)) child += 1;
      if (!isBefore(events[child]!, last)) break;
      events[index] = events[child]!;
      index = child;
    }
    events[index] = last;
    return first;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.number < b.number);
}
