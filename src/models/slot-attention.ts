/**
 * Attention over the packed rows of several sessions: a slot for each, filled from slot 0 on, so that all other nodes
 * of the graph see one list of rows. A slot is asked for inside the If of the slot before it: unused ones cost nothing
 * and need no made-up token (attention refuses empty rows). With one slot there is no If.
 * Invariant: a slot computes what a graph of one slot would; the rows beside it are in none of its inputs.
 *
 * Inputs per slot s: pastLength and pastEnd int64 [1] (positions before and after this pass), lastIndex and total int32
 * [1] (the same for attention, its extra row counted); per layer l pastKey{s}_{l} and pastValue{s}_{l}
 * [1, kvHeads, capacity, headDim]. For s > 0 also used{s} bool [1] and, with the rows of slot s - 1 and of all behind
 * it, rows{s} int64 [2].
 */
import type { ModelDims } from '../../shards/manifest.ts';
import type { OnnxGraph } from './onnx-writer.ts';

/** Attended rows [1, rows, heads * headDim]; new keys and new values [1, kvHeads, rows, headDim]. */
export type AttendedRows = readonly [attended: string, keys: string, values: string];

/** "To the end" for a Slice. */
const sliceEnd = 2n ** 40n;
/** Along which the rows of AttendedRows lie. */
const rowAxes = [1, 2, 2] as const;

export class SlotAttention {
  readonly #graph: OnnxGraph;
  readonly #dims: ModelDims;
  readonly #slots: number;
  readonly #rope: readonly string[];

  /** `rope`: names of the tables, cosines then sines. */
  constructor(graph: OnnxGraph, dims: ModelDims, slots: number, rope: readonly string[]) {
    this.#graph = graph;
    this.#dims = dims;
    this.#slots = slots;
    this.#rope = rope;
    for (let slot = 0; slot < slots; slot++) {
      for (const name of ['pastLength', 'pastEnd']) graph.input(`${name}${slot}`, 'int64', [1]);
      for (const name of ['lastIndex', 'total']) graph.input(`${name}${slot}`, 'int32', [1]);
      if (slot === 0) continue;
      graph.input(`used${slot}`, 'bool', [1]);
      graph.input(`rows${slot}`, 'int64', [2]);
    }
  }

  /** Packed q, k, v rows [1, rows, (heads + 2 kvHeads) * headDim] of all slots through attention of one layer. */
  attend(qkv: string, layer: number): AttendedRows {
    const { kvHeads, headDim } = this.#dims;
    for (let slot = 0; slot < this.#slots; slot++) {
      const shape = [1, kvHeads, `capacity${slot}`, headDim];
      for (const name of pastNames(slot, layer)) this.#graph.input(name, 'float32', shape);
    }
    return this.#attendFrom(this.#graph, qkv, layer, 0);
  }

  /** Rows of this slot and of those behind it. */
  #attendFrom(graph: OnnxGraph, qkv: string, layer: number, slot: number): AttendedRows {
    const next = slot + 1;
    if (next === this.#slots) return this.#attendSlot(graph, qkv, layer, slot);
    return graph.either(
      `used${next}`,
      (branch) => {
        const parts = [branch.newName('own'), branch.newName('behind')] as const;
        branch.nodeTo(parts, 'Split', [qkv, `rows${next}`], { axis: 1 });
        const own = this.#attendSlot(branch, parts[0], layer, slot);
        const behind = this.#attendFrom(branch, parts[1], layer, next);
        const joined = (index: 0 | 1 | 2): string =>
          branch.node('Concat', [own[index], behind[index]], { axis: rowAxes[index] });
        return [joined(0), joined(1), joined(2)];
      },
      (branch) => this.#attendSlot(branch, qkv, layer, slot),
    );
  }

  #attendSlot(graph: OnnxGraph, qkv: string, layer: number, slot: number): AttendedRows {
    const { heads, kvHeads } = this.#dims;
    const axisRows = graph.integers(1);
    const last = graph.integers(-1);
    // The last row twice: attention never sees a single row. The copy is cut off again on every output.
    const copy = graph.node('Slice', [qkv, last, graph.integers(sliceEnd), axisRows]);
    const padded = graph.node('Concat', [qkv, copy], { axis: 1 });
    const present = [graph.newName('presentKey'), graph.newName('presentValue')] as const;
    const attended = graph.newName('attended');
    const counts = [`lastIndex${slot}`, `total${slot}`];
    const inputs = [padded, '', '', ...pastNames(slot, layer), ...counts, ...this.#rope];
    graph.nodeTo([attended, ...present], 'GroupQueryAttention@com.microsoft', inputs, {
      num_heads: heads,
      kv_num_heads: kvHeads,
      do_rotary: 1,
      rotary_interleaved: 0,
    });
    const newRows = (rows: string): string =>
      graph.node('Slice', [rows, `pastLength${slot}`, `pastEnd${slot}`, graph.integers(2)]);
    return [
      graph.node('Slice', [attended, graph.integers(0), last, axisRows]),
      newRows(present[0]),
      newRows(present[1]),
    ];
  }
}

function pastNames(slot: number, layer: number): readonly string[] {
  return [`pastKey${slot}_${layer}`, `pastValue${slot}_${layer}`];
}
