/**
 * All key/value caches of one layer range under a byte budget. Invariant: the buffers of all caches together never
 * exceed the budget. Room is made by evicting idle caches alone, the one idle for longest first.
 */
import { ShardError } from './errors.ts';
import { KvCache, type KvShape, kvBytesPerPosition } from './kv-cache.ts';
import { kvRoomOf } from './kv-room.ts';

export interface KvStoreOptions {
  readonly shape: KvShape;
  readonly bytesMax: number;
  /** No cache grows beyond this: the model's context. */
  readonly positionsMax: number;
}

export class KvStore {
  readonly #options: KvStoreOptions;
  readonly #active = new Map<string, KvCache>();
  /** Insertion order is the order of becoming idle. */
  readonly #idle = new Map<string, KvCache>();

  constructor(options: KvStoreOptions) {
    this.#options = options;
  }

  get sessions(): number {
    return this.#active.size;
  }

  get bytes(): number {
    let sum = 0;
    for (const caches of [this.#active, this.#idle]) for (const cache of caches.values()) sum += cache.bytes;
    return sum;
  }

  /** The cache of an open session. Throws unknown_session. */
  get(session: string): KvCache {
    const cache = this.#active.get(session);
    if (cache === undefined) {
      throw new ShardError(
        'unknown_session',
        'no such session is open here; open it again and send its tokens',
      );
    }
    return cache;
  }

  /** Is there a cache of that name, open or kept? */
  holds(session: string): boolean {
    return this.#active.has(session) || this.#idle.has(session);
  }

  /** Opens a session with an empty cache; one of the same name is forgotten. */
  open(session: string): void {
    this.free(session);
    this.#active.set(session, new KvCache(this.#options.shape));
  }

  /**
   * Opens a session that starts with the donor's first `length` positions, or as many as the donor holds.
   * A session that adopts itself keeps its buffers. Throws unknown_session (no such donor), kv_budget.
   */
  adopt(session: string, donor: string, length: number): void {
    const source = this.#active.get(donor) ?? this.#idle.get(donor);
    if (source === undefined) {
      throw new ShardError('unknown_session', 'the cache to start from is gone; open the session without it');
    }
    if (donor === session) {
      this.#idle.delete(session);
      this.#active.set(session, source);
      source.truncate(length);
      return;
    }
    this.free(session);
    const cache = new KvCache(this.#options.shape);
    const held = Math.min(length, source.length);
    // An idle donor counts as used now; it goes all the same if both do not fit, for the length of a copy beyond the budget.
    const idle = this.#idle.delete(donor);
    if (idle && this.#fitsBeside(source, held)) this.#idle.set(donor, source);
    this.#reserve(cache, held, source);
    cache.copyFrom(source, held);
    this.#active.set(session, cache);
  }

  /** Room for `positions` positions in all. Throws kv_budget. */
  reserve(session: string, positions: number): void {
    this.#reserve(this.get(session), positions, null);
  }

  /** Keeps the cache as a donor until its memory is needed. */
  keep(session: string): void {
    const cache = this.#active.get(session);
    if (cache === undefined) return;
    this.#active.delete(session);
    this.#idle.set(session, cache);
  }

  free(session: string): void {
    this.#active.delete(session);
    this.#idle.delete(session);
  }

  /** Grows by a step; by what is needed alone where the step would break the budget. */
  #reserve(cache: KvCache, positions: number, spared: KvCache | null): void {
    if (positions <= cache.capacity) return;
    const { positionsMax, bytesMax, shape } = this.#options;
    const perPosition = kvBytesPerPosition(shape);
    const capacity = Math.max(positions, Math.min(kvRoomOf(positions), positionsMax));
    for (const wanted of [capacity, positions]) {
      const needed = wanted * perPosition - cache.bytes;
      this.#evictFor(needed, spared);
      if (this.bytes + needed <= bytesMax) {
        cache.grow(wanted);
        return;
      }
    }
    const needed = positions * perPosition;
    throw new ShardError(
      'kv_budget',
      `${needed} bytes of keys and values do not fit: ${this.bytes} of ${bytesMax} are in use; wait for a session to end or raise the budget`,
      { detail: { needed, used: this.bytes, max: bytesMax } },
    );
  }

  /** May a donor stay when a cache of so many positions is made from it? */
  #fitsBeside(donor: KvCache, positions: number): boolean {
    let used = donor.bytes;
    for (const cache of this.#active.values()) used += cache.bytes;
    return used + positions * kvBytesPerPosition(this.#options.shape) <= this.#options.bytesMax;
  }

  #evictFor(needed: number, spared: KvCache | null): void {
    for (const [session, cache] of this.#idle) {
      if (this.bytes + needed <= this.#options.bytesMax) return;
      if (cache !== spared) this.#idle.delete(session);
    }
  }
}
