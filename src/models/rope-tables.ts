/**
 * Cosines and sines of rotary position embedding in the rotate-half form, one row per position. Invariant: the
 * values depend on position, head size and base alone, so every range of a model gets the same table.
 */
import type { ModelDims } from '../../shards/manifest.ts';

/**
 * Positions beyond the context that a pass may touch: the copy of a single row and the extra row of attention are
 * computed and thrown away, but their positions are looked up.
 */
const spareRows = 2;

/** cosines and sines: float32 [positions, headDim / 2]. */
export interface RopeTables {
  readonly positions: number;
  readonly cosines: Float32Array;
  readonly sines: Float32Array;
}

export function ropeTables({ contextLength, headDim, ropeTheta }: ModelDims): RopeTables {
  const positions = contextLength + spareRows;
  const half = headDim / 2;
  const cosines = new Float32Array(positions * half);
  const sines = new Float32Array(positions * half);
  for (let i = 0; i < half; i++) {
    const frequency = ropeTheta ** ((-2 * i) / headDim);
    for (let position = 0; position < positions; position++) {
      cosines[position * half + i] = Math.cos(position * frequency);
      sines[position * half + i] = Math.sin(position * frequency);
    }
  }
  return { positions, cosines, sines };
}
