/**
 * How much room a cache of so many positions takes: what a store gives, and what a gateway counts on before it lets a
 * session in. Never less for more positions.
 */

/**
 * Capacity is a multiple of this, and of a power of two near a sixteenth of the length. Attention copies and clears
 * what its buffers hold, used or not (a capacity of 2,048 costs a pass at 256 positions 30 ms, 256 costs 6), so slack
 * is dear; a sixteenth bounds what growing copies in all to 16 times the cache.
 */
const capacityStep = 64;

/** Positions of room for a cache that holds `length` of them, at least one. */
export function kvRoomOf(length: number): number {
  const step = Math.max(capacityStep, 2 ** Math.floor(Math.log2(length / 16)));
  return Math.ceil(length / step) * step;
}
