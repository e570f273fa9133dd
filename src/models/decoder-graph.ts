/**
 * Decoder layers [start, end) of a llama model as one ONNX graph. Invariant: a row's bits depend on its own past
 * alone, never on the rows beside it, on where the model was cut, or on how long the caches' buffers are. Four
 * choices carry that, each measured: attention always sees a second row (its single-row kernel differs), a range's
 * first norm is the fused one with a zero skip (as inside an uncut model), activations are quantised per row
 * (accuracy level 4), and keys and values leave as plain slices of what attention made of them.
 * A graph of several slots runs the rows of as many sessions, packed one behind the other; only attention tells them
 * apart (slot-attention.ts).
 *
 * Inputs: ids int64 [1, rows] or hiddenIn [1, rows, H]; those of attention; at the tail headRows int64 [headRows], the
 * rows that need logits.
 * Outputs: newkv [2 layers, kvHeads, rows, headDim] in the order key, value, key, value, …; then hidden [1, rows, H],
 * or logits [1, headRows, V] and argmax int64 [1, headRows].
 * A head over some tokens alone (a draft head's) gives the same two, with -Infinity for all other tokens, and the
 * likeliest of them: ranking int64 [1, headRows, R], best first (ties: lower id), and chances [1, headRows, R],
 * their probabilities among those scored. R is rankedTokens, or all that are scored.
 */
import { isFirst, isTail, type LayerRange, type ModelDims } from '../../shards/manifest.ts';
import type {
  BridgeWeights,
  EmbeddingWeights,
  LayerWeights,
  LinearWeights,
  ShardWeights,
  TailWeights,
} from './decoder-weights.ts';
import { OnnxGraph, type StoredTensor } from './onnx-writer.ts';
import { SlotAttention } from './slot-attention.ts';

/** Above this the fp32 kernel of attention splits its inner dimension by the number of keys: bits would follow it. */
const headDimMax = 128;
/** Tokens that a draft head ranks: what the target says instead of its guess is among the next three half of the time. */
const rankedTokens = 4;
/** The score of a token that a head does not know. */
const minusInfinity: StoredTensor = {
  type: 'float32',
  shape: [1],
  data: new Uint8Array(Float32Array.of(-Infinity).buffer),
};

/** The graph file of one range. Throws RangeError for dimensions whose arithmetic is not known to be invariant. */
export function decoderGraph(dims: ModelDims, range: LayerRange, weights: ShardWeights, slots = 1): Buffer {
  if (dims.headDim > headDimMax) {
    throw new RangeError(
      `head size ${dims.headDim} is not supported: above ${headDimMax} results would depend on the pass size`,
    );
  }
  return new DecoderGraph(dims, range, weights, slots).encode();
}

class DecoderGraph {
  readonly #graph = new OnnxGraph();
  readonly #dims: ModelDims;
  readonly #newRows: string[] = [];
  /** Block sums of an input, shared by the linears that read it. */
  readonly #blockSums = new Map<string, string>();

  constructor(dims: ModelDims, range: LayerRange, weights: ShardWeights, slots: number) {
    const graph = this.#graph;
    this.#dims = dims;
    const rope = [graph.weight(weights.rope.cosines), graph.weight(weights.rope.sines)];
    let hidden = this.#start(range, weights.embedding);
    // A zero skip keeps the fused kernel of an uncut model, so cuts do not show in the bits.
    let delta = isFirst(range) ? null : graph.node('Sub', [hidden, hidden]);
    const attention = new SlotAttention(graph, dims, slots, rope);
    weights.layers.forEach((layer, index) => {
      let normed: string;
      if (layer.bridge !== undefined) {
        hidden = this.#bridge(hidden, delta, layer.bridge);
        delta = null;
      }
      [normed, hidden] = this.#norm(hidden, delta, layer.inputNorm);
      const [attended, ...newRows] = attention.attend(this.#stacked(normed, layer.qkv), index);
      this.#newRows.push(...newRows);
      [normed, hidden] = this.#norm(hidden, this.#linear(attended, layer.attentionOutput), layer.postNorm);
      delta = this.#feedForward(normed, layer);
    });
    graph.nodeTo(['newkv'], 'Concat', this.#newRows, { axis: 0 });
    graph.output('newkv', 'float32', [this.#newRows.length, dims.kvHeads, 'rows', dims.headDim]);
    if (isTail(range, dims)) this.#head(hidden, delta!, weights.tail!);
    else this.#end(hidden, delta!);
  }

  encode(): Buffer {
    return this.#graph.encode();
  }

  #start(range: LayerRange, embedding: EmbeddingWeights | null): string {
    const graph = this.#graph;
    if (!isFirst(range)) return graph.input('hiddenIn', 'float32', [1, 'rows', this.#dims.hidden]);
    const ids = graph.input('ids', 'int64', [1, 'rows']);
    if (embedding!.kind === 'float') return graph.node('Gather', [graph.weight(embedding!.rows), ids]);
    const { codes, scales, block } = embedding!;
    return graph.node(
      'GatherBlockQuantized@com.microsoft',
      [graph.weight(codes), ids, graph.weight(scales)],
      {
        bits: 8,
        block_size: block,
        gather_axis: 0,
        quantize_axis: 1,
      },
    );
  }

  /** RMS norm of hidden + delta; gives the normed rows and the sum. */
  #norm(hidden: string, delta: string | null, weight: StoredTensor): [normed: string, sum: string] {
    const graph = this.#graph;
    const epsilon = { float: this.#dims.rmsEpsilon };
    const scale = graph.weight(weight);
    if (delta === null) {
      return [graph.node('SimplifiedLayerNormalization', [hidden, scale], { axis: -1, epsilon }), hidden];
    }
    const normed = graph.newName('normed');
    const sum = graph.newName('sum');
    const operator = 'SkipSimplifiedLayerNormalization@com.microsoft';
    graph.nodeTo([normed, '', '', sum], operator, [hidden, delta, scale], { epsilon });
    return [normed, sum];
  }

  #feedForward(normed: string, { gateUp, down }: LayerWeights): string {
    const graph = this.#graph;
    let [gate, up] = gateUp.map((part) => this.#linear(normed, part)) as [string, string?];
    if (up === undefined) {
      const halves = [graph.newName('gate'), graph.newName('up')] as const;
      graph.nodeTo(halves, 'Split', [gate], { axis: -1, num_outputs: 2 });
      [gate, up] = halves;
    }
    // QuickGelu with alpha 1 is SiLU, in one kernel.
    const activated = graph.node('QuickGelu@com.microsoft', [gate], { alpha: { float: 1 } });
    return this.#linear(graph.node('Mul', [activated, up]), down);
  }

  #bridge(hidden: string, delta: string | null, { norm, linear, bias }: BridgeWeights): string {
    const [normed] = this.#norm(hidden, delta, norm);
    return this.#graph.node('Add', [this.#linear(normed, linear), this.#graph.weight(bias)]);
  }

  #head(hidden: string, delta: string, tail: TailWeights): void {
    const graph = this.#graph;
    const rows = graph.input('headRows', 'int64', ['headRows']);
    const [normed] = this.#norm(hidden, delta, tail.norm);
    const scores = this.#linear(graph.node('Gather', [normed, rows], { axis: 1 }), tail.head);
    graph.output('logits', 'float32', [1, 'headRows', this.#dims.vocab]);
    graph.output('argmax', 'int64', [1, 'headRows']);
    if (tail.ids === undefined) {
      graph.nodeTo(['logits'], 'Identity', [scores]);
      graph.nodeTo(['argmax'], 'ArgMax', [scores], { axis: -1, keepdims: 0 });
    } else {
      this.#someTokens(scores, tail.ids);
    }
  }

  /** Scores [1, headRows, head rows] of the tokens `known`, told as if all tokens had been scored, and ranked. */
  #someTokens(scores: string, known: StoredTensor): void {
    const graph = this.#graph;
    const ids = graph.weight(known);
    const [axisRows, lastAxis] = [graph.integers(1), graph.integers(2)];
    // A pass that wants no head has no rows here, which TopK of ONNX Runtime divides by: it gets one more.
    const filler = graph.node('Expand', [graph.weight(minusInfinity), graph.integers(1, 1, known.shape[0]!)]);
    const padded = graph.node('Concat', [scores, filler], { axis: 1 });
    const topOfAll = [graph.newName('values'), graph.newName('places')] as const;
    const ranked = graph.integers(Math.min(rankedTokens, known.shape[0]!));
    graph.nodeTo(topOfAll, 'TopK', [padded, ranked], { axis: -1, largest: 1, sorted: 1 });
    const [values, places] = topOfAll.map((top) =>
      graph.node('Slice', [top, graph.integers(0), graph.integers(-1), axisRows]),
    ) as [string, string];
    graph.nodeTo(['ranking'], 'Gather', [ids, places]);
    const best = graph.node('Slice', ['ranking', graph.integers(0), graph.integers(1), lastAxis]);
    graph.nodeTo(['argmax'], 'Squeeze', [best, lastAxis]);
    const total = graph.node('ReduceLogSumExp', [scores, lastAxis], { keepdims: 1 });
    graph.nodeTo(['chances'], 'Exp', [graph.node('Sub', [values, total])]);
    graph.output('ranking', 'int64', [1, 'headRows', 'ranked']);
    graph.output('chances', 'float32', [1, 'headRows', 'ranked']);
    const shape = graph.node('Shape', [scores]);
    const rows = graph.node('Slice', [shape, graph.integers(0), graph.integers(2)]);
    const unscored = graph.node('Expand', [
      graph.weight(minusInfinity),
      graph.node('Concat', [rows, graph.integers(this.#dims.vocab)], { axis: 0 }),
    ]);
    const targets = graph.node('Expand', [ids, shape]);
    graph.nodeTo(['logits'], 'ScatterElements', [unscored, targets, scores], { axis: 2 });
  }

  #end(hidden: string, delta: string): void {
    this.#graph.nodeTo(['hidden'], 'Add', [hidden, delta]);
    this.#graph.output('hidden', 'float32', [1, 'rows', this.#dims.hidden]);
  }

  /** Linears of one input side by side: rows of the first, then the second, … */
  #stacked(input: string, parts: readonly LinearWeights[]): string {
    const outputs = parts.map((part) => this.#linear(input, part));
    return outputs.length === 1 ? outputs[0]! : this.#graph.node('Concat', outputs, { axis: -1 });
  }

  #linear(input: string, weights: LinearWeights): string {
    const graph = this.#graph;
    if (weights.kind === 'float') return graph.node('MatMul', [input, graph.weight(weights.weight)]);
    const { rows, columns, bits, block, codes, scales, correction } = weights;
    const product = graph.node(
      'MatMulNBits@com.microsoft',
      [input, graph.weight(codes), graph.weight(scales)],
      { K: columns, N: rows, bits, block_size: block, accuracy_level: 4 },
    );
    if (correction === null) return product;
    const sums = this.#sumsOf(input, columns, block);
    return graph.node('Add', [product, graph.node('MatMul', [sums, graph.weight(correction)])]);
  }

  /** Sums of x over blocks of columns: [1, rows, columns / block]. */
  #sumsOf(input: string, columns: number, block: number): string {
    const graph = this.#graph;
    const key = `${input} ${block}`;
    const known = this.#blockSums.get(key);
    if (known !== undefined) return known;
    const blocks = graph.node('Reshape', [input, graph.integers(0, 0, columns / block, block)]);
    const sums = graph.node('ReduceSum', [blocks, graph.integers(-1)], { keepdims: 0 });
    this.#blockSums.set(key, sums);
    return sums;
  }
}
