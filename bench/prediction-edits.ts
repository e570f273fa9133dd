/**
 * A predicted output that is nearly right: the ids of the true output with a share of them changed, half substituted,
 * a quarter deleted, a quarter with a foreign token before them. Seeded, so that a run can be repeated.
 */
import { uniform } from '../shards/noise.ts';

/** Foreign tokens come from [lowest, lowest + count): words, and no special tokens, in all usual vocabularies. */
const foreignIdLowest = 500;
const foreignIdCount = 20_000;

export function editPrediction(
  ids: readonly number[],
  share: number,
  seed: number,
  vocab: number,
): Uint32Array {
  let draws = 0;
  const random = (): number => uniform({ low: seed, high: 0 }, draws++, 0);
  const foreignEnd = Math.min(vocab, foreignIdLowest + foreignIdCount);
  const lowest = Math.min(foreignIdLowest, foreignEnd - 1);
  const edited = ids.flatMap((id) => {
    if (random() >= share) return [id];
    const kind = random();
    const foreign = lowest + Math.floor(random() * (foreignEnd - lowest));
    if (kind < 0.5) return [foreign];
    return kind < 0.75 ? [] : [foreign, id];
  });
  return Uint32Array.from(edited);
}
