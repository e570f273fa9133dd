/**
 * A layer range of a model on disk as the shard engine loads it: shard.onnx (graph of one session), shared.onnx (of
 * several), shard.bin (the weights of both), probe.onnx (range-free graph for the arithmetic fingerprint), for the tail
 * vocab.bin (the bytes of each token, for grammars) and pack.json, which names them all with their sizes and sums.
 * Invariant: pack.json is renamed into place last, so a folder with a pack.json holds a whole pack or a damaged one
 * that says so; a run that fails or is stopped leaves nothing behind.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ShardGraph } from '../../shards/executor.ts';
import {
  formatRange,
  isTail,
  type LayerRange,
  type ModelDims,
  type Quantisation,
} from '../../shards/manifest.ts';
import { decoderGraph } from './decoder-graph.ts';
import type { GgufFile } from './gguf.ts';
import { modelDims } from './model-dims.ts';
import { ModelFileError } from './model-file-error.ts';
import { probeGraph } from './probe-graph.ts';
import { storeFailure, systemCode } from './pull-error.ts';
import { tensorsOfRange, transferWeights } from './shard-weights.ts';
import { WeightFile } from './weight-file.ts';

export interface PackOptions {
  readonly file: GgufFile;
  readonly sha256: string;
  readonly modelName: string;
  readonly range: LayerRange;
  readonly quantisation: Quantisation;
  readonly directory: string;
  /** vocab.bin (shards/token-bytes-file.ts); asked for the range with the last layer alone. Left out: none. */
  readonly tokenBytes?: () => Uint8Array;
  /** Bytes of the model file carried over, of those that the range needs. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** A pack that is ready to load. Plain data: it may cross threads. */
export interface PackedShard {
  readonly directory: string;
  /** The graph of one session. */
  readonly onnxPath: string;
  /** The graph of several sessions, over the same weights. */
  readonly shared: ShardGraph;
  readonly weightBytes: number;
  readonly probePath: string;
  /** null for ranges without the last layer. */
  readonly vocabPath: string | null;
  readonly dims: ModelDims;
  readonly range: LayerRange;
  readonly quantisation: Quantisation;
  readonly modelSha256: string;
  readonly modelName: string;
}

/** Raised whenever the same model would be packed into other bytes: graph, weight forms, probe, vocabulary. */
const packFormat = 3;

/**
 * Sessions whose rows may share a pass. Eight with a draft each fill a pass (passRowsMax of a worker); a graph of 16
 * slots loads twice as long and costs every pass a little.
 */
export const packedSlots = 8;

const graphName = 'shard.onnx';
const sharedName = 'shared.onnx';
const weightsName = 'shard.bin';
const probeName = 'probe.onnx';
const vocabName = 'vocab.bin';
const noteName = 'pack.json';
/** A note is about 1 KB; a larger file of that name is not ours. */
const noteBytesMax = 65_536;

interface FileSum {
  readonly bytes: number;
  readonly sha256: string;
}

interface PackNote {
  readonly format: number;
  readonly modelSha256: string;
  readonly modelName: string;
  readonly range: LayerRange;
  readonly quantisation: Quantisation;
  readonly dims: ModelDims;
  readonly files: Readonly<Record<string, FileSum>>;
}

/**
 * Packs a range, or reuses the pack that `directory` already holds of it (checked by sizes).
 * Throws ModelFileError for the model file, PullError (disk_full, no_permission, store_failed) for the folder, and the
 * signal's reason.
 */
export async function packShard(options: PackOptions): Promise<PackedShard> {
  const { directory, sha256, range, quantisation } = options;
  const present = await readNote(directory);
  if (
    present?.modelSha256 === sha256 &&
    present.quantisation === quantisation &&
    formatRange(present.range) === formatRange(range) &&
    (options.tokenBytes === undefined || vocabName in present.files || !isTail(range, present.dims)) &&
    (await firstDamage(directory, present, false)) === null
  ) {
    return asPackedShard(directory, present);
  }
  const dims = modelDims(options.file);
  if (range.start < 0 || range.start >= range.end || range.end > dims.layers) {
    throw new ModelFileError(
      'unsupported',
      `the model has layers [0, ${dims.layers}), not ${formatRange(range)}`,
    );
  }
  const suffix = `.part-${process.pid}`;
  try {
    await mkdir(directory, { recursive: true });
    await rm(join(directory, noteName), { force: true });
    const note = await writeFiles(options, dims, suffix);
    for (const name of [...Object.keys(note.files), noteName]) {
      await rename(join(directory, name + suffix), join(directory, name));
    }
    return asPackedShard(directory, note);
  } catch (error) {
    for (const name of [weightsName, graphName, sharedName, probeName, vocabName, noteName]) {
      await rm(join(directory, name + suffix), { force: true });
    }
    throw systemCode(error) === '' || error instanceof ModelFileError
      ? error
      : storeFailure(error, directory);
  }
}

/**
 * Opens an existing pack; `verify` reads all bytes and checks their sums. Throws ModelFileError: missing, corrupt.
 */
export async function openPack(directory: string, options: { verify?: boolean } = {}): Promise<PackedShard> {
  const note = await readNote(directory);
  if (note === null) {
    throw new ModelFileError('missing', `${directory} holds no pack of this version; pack the model again`);
  }
  const damage = await firstDamage(directory, note, options.verify ?? false);
  if (damage !== null) {
    throw new ModelFileError(
      'corrupt',
      `${directory}: ${damage}; remove the folder and pack the model again`,
    );
  }
  return asPackedShard(directory, note);
}

/** Writes all files under temporary names. */
async function writeFiles(options: PackOptions, dims: ModelDims, suffix: string): Promise<PackNote> {
  const { file, range, quantisation, directory, signal, onProgress, tokenBytes } = options;
  const names = tensorsOfRange(file, dims, range);
  const total = names.reduce((sum, name) => sum + (file.tensors.get(name)?.bytes ?? 0), 0);
  const target = await WeightFile.open(join(directory, weightsName + suffix), weightsName);
  const write = (name: string, bytes: Uint8Array): Promise<FileSum> =>
    writeWhole(join(directory, name + suffix), bytes);
  try {
    const weights = await transferWeights({
      file,
      dims,
      range,
      quantisation,
      target,
      onBytes: (done) => onProgress?.(Math.min(done, total), total),
      signal: signal ?? null,
    });
    const note: PackNote = {
      format: packFormat,
      modelSha256: options.sha256,
      modelName: options.modelName,
      range: { start: range.start, end: range.end },
      quantisation,
      dims,
      files: {
        [weightsName]: await target.finish(),
        [graphName]: await write(graphName, decoderGraph(dims, range, weights)),
        [sharedName]: await write(sharedName, decoderGraph(dims, range, weights, packedSlots)),
        [probeName]: await write(probeName, probeGraph()),
        ...(tokenBytes !== undefined &&
          isTail(range, dims) && { [vocabName]: await write(vocabName, tokenBytes()) }),
      },
    };
    await write(noteName, Buffer.from(`${JSON.stringify(note, null, 2)}\n`));
    return note;
  } finally {
    await target.close();
  }
}

async function writeWhole(path: string, bytes: Uint8Array): Promise<FileSum> {
  const file = await WeightFile.open(path, path);
  try {
    await file.append('uint8', [bytes.length], bytes);
    return await file.finish();
  } finally {
    await file.close();
  }
}

async function readNote(directory: string): Promise<PackNote | null> {
  const path = join(directory, noteName);
  try {
    if ((await stat(path)).size > noteBytesMax) return null;
    const note = JSON.parse(await readFile(path, 'utf8')) as PackNote;
    return note.format === packFormat ? note : null;
  } catch {
    return null; // No note, or a torn one: there is no pack here.
  }
}

/** What is wrong with the files of a pack, or null. */
async function firstDamage(directory: string, note: PackNote, verify: boolean): Promise<string | null> {
  for (const [name, { bytes, sha256 }] of Object.entries(note.files)) {
    const path = join(directory, name);
    const size = await stat(path).then(
      (found) => found.size,
      () => null,
    );
    if (size === null) return `${name} is missing`;
    if (size !== bytes) return `${name} has ${size} bytes instead of ${bytes}`;
    if (verify && (await fileSum(path)) !== sha256)
      return `${name} does not have the sum that it was written with`;
  }
  return null;
}

async function fileSum(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 }))
    hash.update(chunk as Uint8Array);
  return hash.digest('hex');
}

function asPackedShard(directory: string, note: PackNote): PackedShard {
  return {
    directory,
    onnxPath: join(directory, graphName),
    shared: { onnxPath: join(directory, sharedName), slots: packedSlots },
    weightBytes: note.files[weightsName]!.bytes,
    probePath: join(directory, probeName),
    vocabPath: vocabName in note.files ? join(directory, vocabName) : null,
    dims: note.dims,
    range: note.range,
    quantisation: note.quantisation,
    modelSha256: note.modelSha256,
    modelName: note.modelName,
  };
}
