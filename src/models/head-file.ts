/**
 * A trained draft head on disk: NAME.json (what it is and how it was made) beside NAME.safetensors (its weights).
 * The weights are those that training made; embedding and scored rows are the target's own and stay in its file, so a
 * head is of use to that one file alone, which the manifest names by its sum.
 * Source of the container: the safetensors format (u64 header length, JSON header, tensors one after the other).
 * Invariant: every count and offset is checked against a limit and the file's size before use.
 */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ModelFileError } from './model-file-error.ts';

/** Version of manifest and tensor names. */
const headFormat = 1;
/** A manifest is about 2 KB. */
const manifestBytesMax = 65_536;
/** A head is small against its target: 12 MB for one of 135 M parameters, 300 MB for the largest that make sense. */
const weightBytesMax = 512 * 2 ** 20;
/** A header lists some twenty tensors. */
const headerBytesMax = 1 << 20;
const layersMax = 16;
/** Beyond this a head would be right in spite of itself: .5 told, .98 right. */
const greedyShiftMax = 4;

/** What a head is; `training` is a record for people and read by nobody. */
export interface HeadManifest {
  readonly format: number;
  readonly target: { readonly name: string; readonly sha256: string };
  readonly dims: {
    readonly hidden: number;
    readonly heads: number;
    readonly kvHeads: number;
    readonly headDim: number;
    readonly ffn: number;
    readonly vocab: number;
  };
  /** Layers of the target that the head's layers began as. */
  readonly layers: readonly number[];
  /** Index of the layer that the bridge stands before. */
  readonly bridgeBefore: number;
  /** Tokens that the head scores. */
  readonly draftVocab: number;
  readonly weights: { readonly file: string; readonly bytes: number; readonly sha256: string };
  /**
   * Log odds by which the head's first choice is right more often than it tells, of a greedy target. Left out: 0, as in
   * heads that were made before it was measured.
   */
  readonly greedyShift?: number;
  readonly training: unknown;
}

const elementBytes = { F16: 2, F32: 4, I8: 1, I32: 4 } as const;
type HeadElement = keyof typeof elementBytes;

export interface HeadTensor {
  readonly type: HeadElement;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

export interface HeadFile {
  readonly manifest: HeadManifest;
  readonly path: string;
  readonly tensors: ReadonlyMap<string, HeadTensor>;
}

/** The manifest alone. Throws ModelFileError missing, corrupt, limit, unsupported. */
export async function readHeadManifest(path: string): Promise<HeadManifest> {
  const text = (await readBounded(path, manifestBytesMax)).toString('utf8');
  const manifest = parse(path, text) as HeadManifest;
  if (manifest?.format !== headFormat) {
    throw new ModelFileError(
      'unsupported',
      `${path} is no draft head of format ${headFormat}; train it again`,
    );
  }
  const { layers, bridgeBefore, draftVocab, dims, weights, target, greedyShift = 0 } = manifest;
  const counts = [...Object.values(dims ?? {}), draftVocab, weights?.bytes];
  const sound =
    Array.isArray(layers) &&
    layers.length > 0 &&
    layers.length <= layersMax &&
    bridgeBefore >= 0 &&
    bridgeBefore < layers.length &&
    counts.length === 8 &&
    counts.every((count) => Number.isSafeInteger(count) && count > 0) &&
    draftVocab <= dims.vocab &&
    Math.abs(greedyShift) <= greedyShiftMax &&
    typeof target?.sha256 === 'string' &&
    /^[\w.-]+$/.test(weights.file);
  if (!sound) throw new ModelFileError('corrupt', `${path} contradicts itself; train the head again`);
  return manifest;
}

/** Manifest and weights, the weights checked against their sum. Throws ModelFileError. */
export async function readHeadFile(path: string): Promise<HeadFile> {
  const manifest = await readHeadManifest(path);
  const weightPath = join(dirname(path), manifest.weights.file);
  const bytes = await readBounded(weightPath, weightBytesMax);
  const sum = createHash('sha256').update(bytes).digest('hex');
  if (bytes.length !== manifest.weights.bytes || sum !== manifest.weights.sha256) {
    throw new ModelFileError('corrupt', `${weightPath} is not the file that ${path} describes`);
  }
  return { manifest, path: weightPath, tensors: readTensors(weightPath, bytes) };
}

/** A tensor that must be there in this form. Throws ModelFileError missing, corrupt. */
export function headTensorOf(
  { path, tensors }: HeadFile,
  name: string,
  type: HeadElement,
  shape: readonly number[],
): HeadTensor {
  const tensor = tensors.get(name);
  if (tensor === undefined) throw new ModelFileError('missing', `${path}: there is no tensor ${name}`);
  if (tensor.type !== type || tensor.shape.join() !== shape.join()) {
    throw new ModelFileError(
      'corrupt',
      `${path}: ${name} is ${tensor.type} [${tensor.shape.join(', ')}], expected ${type} [${shape.join(', ')}]`,
    );
  }
  return tensor;
}

function readTensors(path: string, bytes: Buffer): Map<string, HeadTensor> {
  const headerBytes = bytes.length < 8 ? Infinity : Number(bytes.readBigUInt64LE(0));
  if (headerBytes > headerBytesMax || 8 + headerBytes > bytes.length) {
    throw new ModelFileError('truncated', `${path} ends within its header`);
  }
  const header = parse(path, bytes.toString('utf8', 8, 8 + headerBytes)) as Record<string, unknown>;
  const data = new Uint8Array(
    bytes.buffer,
    bytes.byteOffset + 8 + headerBytes,
    bytes.length - 8 - headerBytes,
  );
  const tensors = new Map<string, HeadTensor>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const { dtype, shape, data_offsets: offsets } = entry as Record<string, unknown>;
    const [start, end] = Array.isArray(offsets) ? (offsets as number[]) : [];
    const type = dtype as HeadElement;
    if (!Object.hasOwn(elementBytes, type) || !Array.isArray(shape) || !isRange(start, end, data.length)) {
      throw new ModelFileError('corrupt', `${path}: the entry of ${name} cannot be read`);
    }
    const elements = (shape as number[]).reduce((product, size) => product * size, 1);
    if (elements * elementBytes[type] !== end! - start!) {
      throw new ModelFileError(
        'corrupt',
        `${path}: ${name} has ${end! - start!} bytes for [${shape.join(', ')}]`,
      );
    }
    tensors.set(name, { type, shape: shape as number[], bytes: data.subarray(start, end) });
  }
  return tensors;
}

function isRange(start: number | undefined, end: number | undefined, length: number): boolean {
  return (
    Number.isSafeInteger(start) &&
    Number.isSafeInteger(end) &&
    0 <= start! &&
    start! <= end! &&
    end! <= length
  );
}

async function readBounded(path: string, bytesMax: number): Promise<Buffer> {
  try {
    const { size } = await stat(path);
    if (size > bytesMax) {
      throw new ModelFileError('limit', `${path} has ${size} bytes, at most ${bytesMax} are read`);
    }
    return await readFile(path);
  } catch (cause) {
    if (cause instanceof ModelFileError) throw cause;
    throw new ModelFileError('missing', `${path} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

function parse(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ModelFileError('corrupt', `${path} is not JSON where it should be`, { cause });
  }
}
