/** Several async iterations as one, each in its own order, none able to silence the others. */

/**
 * Yields [index of the source, value] as values come. At most `atOnce` sources are open; the next opens when one is
 * done. The first failure is thrown; then, as when the reader leaves, all open ones are told to return.
 */
export async function* merge<T>(
  sources: readonly (() => AsyncIterable<T>)[],
  atOnce = sources.length,
): AsyncGenerator<readonly [number, T]> {
  const unopened = [...sources.keys()];
  const open = new Map<number, AsyncIterator<T>>();
  const pulled = new Map<number, Promise<readonly [number, IteratorResult<T>]>>();
  const pull = (index: number): void => {
    const next = open
      .get(index)!
      .next()
      .then((result) => [index, result] as const);
    // One that fails while another is looked at is met again at the next race.
    next.catch(() => {});
    pulled.set(index, next);
  };
  const openNext = (): void => {
    const index = unopened.shift();
    if (index === undefined) return;
    open.set(index, sources[index]!()[Symbol.asyncIterator]());
    pull(index);
  };
  try {
    for (let i = 0; i < atOnce; i++) openNext();
    while (pulled.size > 0) {
      const [index, { done, value }] = await Promise.race(pulled.values());
      // To the end of the line: a source that always has something to say comes after those that waited.
      pulled.delete(index);
      if (done === true) {
        open.delete(index);
        openNext();
        continue;
      }
      pull(index);
      yield [index, value];
    }
  } finally {
    for (const iterator of open.values()) iterator.return?.().catch(() => {});
  }
}
