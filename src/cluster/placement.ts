/**
 * Which worker gets which layers. The split goes by cost, not by count: the head is part of the last range and
 * weighs as much as several layers, so the tail gets fewer of them. Pure.
 */
import type { LayerRange, ModelDims } from '../../shards/manifest.ts';

/** Multiplications of one row through one decoder layer. */
function layerCost(dims: ModelDims): number {
  const attention = dims.hidden * dims.headDim * (2 * dims.heads + 2 * dims.kvHeads);
  return attention + 3 * dims.hidden * dims.ffn;
}

/**
 * Cost of the head in layers. Its one wide product runs closer to peak than a layer's seven small ones: measured
 * 6 layers for 8 flop-equivalents on SmolLM2-135M at 8 rows, hence the factor.
 */
export function headCostInLayers(dims: ModelDims): number {
  return (0.75 * dims.hidden * dims.vocab) / layerCost(dims);
}

/** [0, layers) in `parts` ranges of about equal cost, each with at least one layer. parts <= layers. */
export function splitLayers(dims: ModelDims, parts: number): LayerRange[] {
  if (!Number.isInteger(parts) || parts < 1 || parts > dims.layers) {
    throw new RangeError(`A model of ${dims.layers} layers cannot be cut into ${parts} ranges.`);
  }
  const total = dims.layers + headCostInLayers(dims);
  const ranges: LayerRange[] = [];
  let start = 0;
  for (let part = 1; part <= parts; part++) {
    const wanted = part === parts ? dims.layers : Math.round((total * part) / parts);
    // Every later part still needs a layer of its own.
    const end = Math.min(Math.max(wanted, start + 1), dims.layers - (parts - part));
    ranges.push({ start, end });
    start = end;
  }
  return ranges;
}
