/**
 * A small decoder with made-up weights that uses every operator and every stored form of a real shard: 4-bit codes
 * with correction, 8-bit codes of both block sizes, float32 linears and head. The same bytes on every machine: what
 * its logits hash to tells apart machines whose arithmetic differs, whatever range they serve.
 */
import { probeDims } from '../../shards/probe-dims.ts';
import { decoderGraph } from './decoder-graph.ts';
import type { LayerWeights, LinearWeights } from './decoder-weights.ts';
import type { InlineTensor } from './onnx-writer.ts';
import { ropeTables } from './rope-tables.ts';

/** The graph file. Its inputs and outputs are those of a full range (decoder-graph.ts). */
export function probeGraph(): Buffer {
  const { layers, hidden, vocab, headDim } = probeDims;
  const random = new SeededTensors(20_251);
  const { positions, cosines, sines } = ropeTables(probeDims);
  const shape = [positions, headDim / 2];
  const forms = ['4bit', '8bit', '8bit16'] as const;
  return decoderGraph(
    probeDims,
    { start: 0, end: layers },
    {
      embedding: {
        kind: 'codes',
        block: 32,
        codes: random.bytes([vocab, hidden]),
        scales: random.floats([vocab, hidden / 32], 0.005, 0.02),
      },
      layers: forms.map((form) => probeLayer(random, form)),
      tail: {
        norm: random.floats([hidden], 0.5, 1.5),
        head: {
          kind: 'float',
          rows: vocab,
          columns: hidden,
          weight: random.floats([hidden, vocab], -0.5, 0.5),
        },
      },
      rope: { cosines: inline(shape, cosines), sines: inline(shape, sines) },
    },
  );
}

type ProbeForm = '4bit' | '8bit' | '8bit16';

function probeLayer(random: SeededTensors, form: ProbeForm): LayerWeights {
  const { hidden, heads, kvHeads, headDim, ffn } = probeDims;
  return {
    inputNorm: random.floats([hidden], 0.5, 1.5),
    qkv: [probeLinear(random, form, (heads + 2 * kvHeads) * headDim, hidden)],
    attentionOutput: probeLinear(random, form, hidden, heads * headDim),
    postNorm: random.floats([hidden], 0.5, 1.5),
    gateUp: [probeLinear(random, form, 2 * ffn, hidden)],
    down: probeLinear(random, form, hidden, ffn),
  };
}

function probeLinear(random: SeededTensors, form: ProbeForm, rows: number, columns: number): LinearWeights {
  const bits = form === '4bit' ? 4 : 8;
  const block = form === '8bit16' ? 16 : 32;
  const blocks = columns / block;
  // About unit gain: codes spread over 2^bits steps of a uniform distribution.
  const step = 3.4 / 2 ** bits / Math.sqrt(columns);
  return {
    kind: 'codes',
    rows,
    columns,
    bits,
    block,
    codes: random.bytes([rows, blocks, (block * bits) / 8]),
    scales: random.floats([rows, blocks], 0.5 * step, 1.5 * step),
    correction: form === '4bit' ? random.floats([blocks, rows], -step, step) : null,
  };
}

/** Tensors from one 32-bit generator (mulberry32): integer arithmetic only, so equal everywhere. */
class SeededTensors {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  bytes(shape: readonly number[]): InlineTensor {
    return {
      type: 'uint8',
      shape,
      data: Uint8Array.from({ length: product(shape) }, () => this.#next() >>> 24),
    };
  }

  floats(shape: readonly number[], low: number, high: number): InlineTensor {
    const span = high - low;
    const values = Float32Array.from({ length: product(shape) }, () => low + span * (this.#next() / 2 ** 32));
    return inline(shape, values);
  }

  #next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let h = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    h = (h + Math.imul(h ^ (h >>> 7), 61 | h)) ^ h;
    return (h ^ (h >>> 14)) >>> 0;
  }
}

function inline(shape: readonly number[], values: Float32Array): InlineTensor {
  return {
    type: 'float32',
    shape,
    data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  };
}

function product(shape: readonly number[]): number {
  return shape.reduce((result, size) => result * size, 1);
}
