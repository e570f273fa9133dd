/**
 * An async iteration that stops waiting the moment its signal is aborted, even if the source never answers again.
 */

/** Yields from `source`; throws the signal's reason once it is aborted. The source is told to return, not waited for. */
export async function* untilAborted<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const iterator = source[Symbol.asyncIterator]();
  const aborted = rejectionOf(signal);
  try {
    for (;;) {
      signal.throwIfAborted();
      const next = await Promise.race([iterator.next(), aborted.promise]);
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    aborted.forget();
    iterator.return?.().catch(() => {});
  }
}

function rejectionOf(signal: AbortSignal): { promise: Promise<never>; forget: () => void } {
  const { promise, reject } = Promise.withResolvers<never>();
  // Nobody may be waiting when it rejects.
  promise.catch(() => {});
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  return { promise, forget: () => signal.removeEventListener('abort', onAbort) };
}
