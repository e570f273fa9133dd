/**
 * One token through the whole ring before the first request: workers dial one another now, and every engine has run
 * once, so the first answer is as fast as the second.
 */
import { greedy } from '../../shards/sampler.ts';
import type { Ring } from './ring.ts';

/** A ring that has not answered by then answers requests no better; they will say what is wrong. */
const warmUpMs = 10_000;

/** Resolves when the verdict is back. Rejects with what the ring fails with. Whatever comes, no session stays open. */
export async function warmUp(ring: Ring, session: string): Promise<void> {
  const { promise: answered, resolve, reject } = Promise.withResolvers<void>();
  const tail = { sampling: greedy, promptLength: 1, eosIds: [], minTokens: 0, ignoreEos: true };
  const stream = ring.open(
    { session, tail, adopt: null, remainingMs: warmUpMs },
    {
      onVerdict: () => resolve(),
      onGap: () => reject(new Error('a worker held less than nothing')),
      onError: reject,
    },
  );
  stream.forward({ epoch: 1, round: 1, position: 0, ids: Uint32Array.of(0), headFrom: 0 });
  await answered.finally(() => stream.close('free'));
}
