/**
 * What a worker proves before it serves: that a row's bits do not depend on the pass it runs in (promise 1 stands on
 * it), and which arithmetic this machine has. Kernels are chosen by instruction set, so both are measured here and
 * never assumed. With AVX2 alone 4-bit linears treat a single row differently: there a pass needs two rows at least.
 */
import { createHash, randomUUID } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { createExecutor, type Executor, type ExecutorOptions } from './executor.ts';
import { KvCache } from './kv-cache.ts';
import { isFirst, isTail, type LayerRange, type ModelDims } from './manifest.ts';
import { probeDims } from './probe-dims.ts';
import { chooseToken, type Sampling } from './sampler.ts';

export interface ProbeOptions extends Omit<ExecutorOptions, 'minRows'> {
  /** The fingerprint graph (probe.onnx of any pack). */
  readonly probePath: string;
}

export interface InvarianceProof {
  /** Were all bits equal for passes of one, seven and many rows? */
  readonly invariant: boolean;
  /** The fewest rows of a pass for which they were; 2 if for none. */
  readonly minRows: 1 | 2;
  /** sha256 over logits, keys, values and samples of the fingerprint graph. */
  readonly fingerprint: string;
}

/** Rows of the proof: several passes of seven and a short last one. */
const proofRows = 47;
/** The first rows before the passes of one: single rows are compared behind a past, not only at the start. */
const proofPrefix = 23;
/** Enough rows for every block size of the attention kernels; more than 64 keys, more than one block of 512. */
const fingerprintRows = 600;
const fingerprintSamples = 10_000;

/** Takes 1-3 s for a model of 135 M parameters. Throws what the runtime throws when a graph cannot be loaded. */
export async function proveInvariance(options: ProbeOptions): Promise<InvarianceProof> {
  const fingerprint = await arithmeticFingerprint(options.probePath, options.threads);
  for (const minRows of [1, 2] as const) {
    const executor = await createExecutor({ ...options, minRows });
    try {
      if (await isInvariant(executor, options.dims, options.range))
        return { invariant: true, minRows, fingerprint };
    } finally {
      await executor.dispose();
    }
  }
  return { invariant: false, minRows: 2, fingerprint };
}

/**
 * The same, from `cachePath` if it was written by an earlier start. The path must name all that the result depends on:
 * pack, runtime version, Node version, CPU model, threads.
 */
export async function proveInvarianceOnce(
  options: ProbeOptions,
  cachePath: string,
): Promise<InvarianceProof> {
  const known = await readProof(cachePath);
  if (known !== null) return known;
  const proof = await proveInvariance(options);
  const part = `${cachePath}.${randomUUID()}`;
  await writeFile(part, JSON.stringify(proof));
  await rename(part, cachePath);
  return proof;
}

async function readProof(path: string): Promise<InvarianceProof | null> {
  try {
    const { invariant, minRows, fingerprint } = JSON.parse(
      await readFile(path, 'utf8'),
    ) as Partial<InvarianceProof>;
    const whole = typeof invariant === 'boolean' && (minRows === 1 || minRows === 2);
    return whole && typeof fingerprint === 'string' ? { invariant, minRows, fingerprint } : null;
  } catch {
    return null; // No result yet, or a torn one: prove it again.
  }
}

async function arithmeticFingerprint(probePath: string, threads: number): Promise<string> {
  const range = { start: 0, end: probeDims.layers };
  const executor = await createExecutor({ onnxPath: probePath, dims: probeDims, range, threads, minRows: 1 });
  try {
    const ids = probeIds(fingerprintRows, probeDims.vocab);
    const cache = newCache(probeDims, range, 0);
    const { newkv, logits } = await executor.run({ ids, hidden: null, cache, headFrom: 0, want: 'logits' });
    const hash = createHash('sha256').update(bytesOf(newkv)).update(bytesOf(logits!));
    return hash.update(bytesOf(samplesOf(logits!))).digest('hex');
  } finally {
    await executor.dispose();
  }
}

/** The sampler is part of the arithmetic: its logarithms and exponentials come from the JavaScript engine. */
function samplesOf(logits: Float32Array): Uint32Array {
  const { vocab } = probeDims;
  const seed = { low: 20_251, high: 7 };
  const plain: Sampling = { temperature: 0.8, topK: 0, topP: 1, minP: 0, seed };
  const filtered: Sampling = { temperature: 1.2, topK: 40, topP: 0.9, minP: 0.02, seed };
  return Uint32Array.from({ length: fingerprintSamples }, (_, position) => {
    const row = (position % fingerprintRows) * vocab;
    return chooseToken(logits.subarray(row, row + vocab), position % 4 === 3 ? filtered : plain, position);
  });
}

/** One pass of all rows against passes of seven, and of one behind a past: outputs, keys and values, bit by bit. */
async function isInvariant(executor: Executor, dims: ModelDims, range: LayerRange): Promise<boolean> {
  const whole = await runCut(executor, dims, range, () => proofRows, null);
  const cuts = [(at: number) => (at === 0 ? proofPrefix : 1), () => 7];
  for (const cut of cuts) if ((await runCut(executor, dims, range, cut, whole)) === null) return false;
  return true;
}

interface ProofRun {
  readonly outputs: Float32Array;
  readonly cache: KvCache;
}

/**
 * Runs the probe in passes of `rowsAt(position)` rows; null as soon as one differs from `expected`.
 * The head starts at another row in each pass, so that short heads are compared too.
 */
async function runCut(
  executor: Executor,
  dims: ModelDims,
  range: LayerRange,
  rowsAt: (position: number) => number,
  expected: ProofRun | null,
): Promise<ProofRun | null> {
  const width = isTail(range, dims) ? dims.vocab : dims.hidden;
  const ids = probeIds(proofRows, dims.vocab);
  const hidden = isFirst(range) ? null : probeHidden(proofRows * dims.hidden);
  const cache = newCache(dims, range, proofRows);
  const outputs = new Float32Array(proofRows * width);
  for (let at = 0; at < proofRows; ) {
    const rows = Math.min(rowsAt(at), proofRows - at);
    const headFrom = expected === null ? 0 : at % rows;
    const result = await executor.run({
      ids: ids.subarray(at, at + rows),
      hidden: hidden?.subarray(at * dims.hidden, (at + rows) * dims.hidden) ?? null,
      cache,
      headFrom,
      want: 'logits',
    });
    cache.append(result.newkv, rows, result.passRows);
    const from = (at + (result.hidden === null ? headFrom : 0)) * width;
    outputs.set(result.hidden ?? result.logits!, from);
    at += rows;
    if (
      expected !== null &&
      !equalBytes(outputs.subarray(from, at * width), expected.outputs.subarray(from, at * width))
    )
      return null;
  }
  if (
    expected !== null &&
    !cache.buffers.every((buffer, i) => equalBytes(buffer, expected.cache.buffers[i]!))
  )
    return null;
  return { outputs, cache };
}

function newCache(dims: ModelDims, range: LayerRange, capacity: number): KvCache {
  const { kvHeads, headDim } = dims;
  const cache = new KvCache({ layers: range.end - range.start, kvHeads, headDim });
  cache.grow(capacity);
  return cache;
}

function probeIds(rows: number, vocab: number): Uint32Array {
  return Uint32Array.from({ length: rows }, (_, row) => (row * 7919 + 13) % vocab);
}

/** Hidden rows as inner ranges see them: mostly within a few units, some far out. */
function probeHidden(count: number): Float32Array {
  let state = 20_251;
  return Float32Array.from({ length: count }, (_, i) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const value = (state / 2 ** 32 - 0.5) * 4;
    return i % 97 === 0 ? value * 50 : value;
  });
}

function equalBytes(a: Float32Array, b: Float32Array): boolean {
  return Buffer.compare(bytesOf(a), bytesOf(b)) === 0;
}

function bytesOf(values: Float32Array | Uint32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
