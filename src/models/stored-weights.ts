/**
 * Matrices on their way into a weight file: read from the model file as they are, written in the shape that the
 * kernels of a graph take. Invariant: a matrix stored as codes keeps the values that its form has.
 */
import { isQuantised } from './block-unpackers.ts';
import type { EmbeddingWeights, LinearWeights } from './decoder-weights.ts';
import { dequantize } from './dequantize.ts';
import type { GgufFile, GgufTensor } from './gguf.ts';
import type { LinearForm, StoredMatrix } from './linear-form.ts';
import { ModelFileError } from './model-file-error.ts';
import { nativeCodes } from './native-codes.ts';
import type { WeightFile } from './weight-file.ts';
import { blockSumWeights, centred5bit, transpose } from './weight-layout.ts';

/** A tensor that must be there with this shape. Throws ModelFileError missing, corrupt. */
export function tensorOf(file: GgufFile, name: string, shape: readonly number[]): GgufTensor {
  const tensor = file.tensors.get(name);
  if (tensor === undefined) throw new ModelFileError('missing', `${file.path}: there is no tensor ${name}`);
  if (tensor.shape.join() !== shape.join()) {
    const found = `[${tensor.shape.join(', ')}], expected [${shape.join(', ')}]`;
    throw new ModelFileError('corrupt', `${file.path}: ${name} has the shape ${found}`);
  }
  return tensor;
}

/** Tensor of the rows that score tokens: tied models use the embedding. */
export function headTensor(file: GgufFile): string {
  return file.tensors.has('output.weight') ? 'output.weight' : 'token_embd.weight';
}

/** Formats without minimum are looked up as codes: exact, and a quarter of the bytes. */
export async function storeEmbedding(
  target: WeightFile,
  { type, rows, columns, bytes }: StoredMatrix,
): Promise<EmbeddingWeights> {
  if (isQuantised(type)) {
    const { bits, block, codes, scales, minimums } = nativeCodes(type, bytes, rows, columns);
    if (bits === 8 && minimums === null) {
      return {
        kind: 'codes',
        block,
        codes: await target.append('uint8', [rows, columns], codes),
        scales: await target.append('float32', [rows, columns / block], scales),
      };
    }
  }
  const values = dequantize(type, bytes, rows * columns);
  return { kind: 'float', rows: await target.append('float32', [rows, columns], values) };
}

export async function storeLinear(target: WeightFile, form: LinearForm): Promise<LinearWeights> {
  const { rows, columns } = form;
  if (form.kind === 'float') {
    const transposed = transpose(form.values, rows, columns);
    return {
      kind: 'float',
      rows,
      columns,
      weight: await target.append('float32', [columns, rows], transposed),
    };
  }
  const { bits, block, scales, minimums } = form;
  const blocks = columns / block;
  const codes = minimums !== null && bits === 8 ? centred5bit(form.codes) : form.codes;
  return {
    kind: 'codes',
    rows,
    columns,
    bits,
    block,
    codes: await target.append('uint8', [rows, blocks, (block * bits) / 8], codes),
    scales: await target.append('float32', [rows, blocks], scales),
    correction:
      minimums === null
        ? null
        : await target.append(
            'float32',
            [blocks, rows],
            blockSumWeights(bits, scales, minimums, rows, blocks),
          ),
  };
}
