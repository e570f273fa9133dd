/**
 * What a worker proves before it serves: that a row's bits do not depend on the pass it runs in nor on whose rows share
 * it (promise 1 stands on it), and which arithmetic this machine has. Kernels are chosen by instruction set, so both are measured here and
 * never assumed. With AVX2 alone 4-bit linears treat a single row differently: there a pass needs two rows at least.
 */
import { createHash, randomUUID } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { createExecutor, type ExecutorOptions, type ShardGraph } from './executor.ts';
import { isCutInvariant, isShareInvariant, type ProofSession, proofIds, runAlone } from './invariance.ts';
import { KvCache } from './kv-cache.ts';
import { probeDims } from './probe-dims.ts';
import { chooseToken, type Sampling } from './sampler.ts';

export interface ProbeOptions extends Omit<ExecutorOptions, 'minRows' | 'slots'> {
  /** The graph of several sessions, proven against the one of one. */
  readonly shared: ShardGraph;
  /** The fingerprint graph (probe.onnx of any pack). */
  readonly probePath: string;
}

export interface InvarianceProof {
  /** Were all bits equal for passes of one, seven and many rows? */
  readonly invariant: boolean;
  /** The fewest rows of a pass for which they were; 2 if for none. */
  readonly minRows: 1 | 2;
  /** Were they also for rows of several sessions in one pass? */
  readonly shareable: boolean;
  /** sha256 over logits, keys, values and samples of the fingerprint graph. */
  readonly fingerprint: string;
}

/** Enough rows for every block size of the attention kernels; more than 64 keys, more than one block of 512. */
const fingerprintRows = 600;
const fingerprintSamples = 10_000;

/** Takes 2-5 s for a model of 135 M parameters. Throws what the runtime throws when a graph cannot be loaded. */
export async function proveInvariance(options: ProbeOptions): Promise<InvarianceProof> {
  const fingerprint = await arithmeticFingerprint(options.probePath, options.threads);
  for (const minRows of [1, 2] as const) {
    const alone = await proveAlone(options, minRows);
    if (alone === null) continue;
    const shareable = await proveShared(options, minRows, alone);
    return { invariant: true, minRows, shareable, fingerprint };
  }
  return { invariant: false, minRows: 2, shareable: false, fingerprint };
}

/** What the sessions of the second proof give alone; null if cuts show in the bits. */
async function proveAlone(options: ProbeOptions, minRows: 1 | 2): Promise<ProofSession[] | null> {
  const executor = await createExecutor({ ...options, minRows });
  try {
    if (!(await isCutInvariant(executor, options))) return null;
    return await runAlone(executor, options, options.shared.slots);
  } finally {
    await executor.dispose();
  }
}

/** Behind the first proof, not beside it: two graphs need twice the memory. */
async function proveShared(
  options: ProbeOptions,
  minRows: 1 | 2,
  alone: readonly ProofSession[],
): Promise<boolean> {
  const executor = await createExecutor({ ...options, ...options.shared, minRows });
  try {
    return await isShareInvariant(executor, options, alone);
  } finally {
    await executor.dispose();
  }
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
    const { invariant, minRows, shareable, fingerprint } = JSON.parse(
      await readFile(path, 'utf8'),
    ) as Partial<InvarianceProof>;
    const whole =
      typeof invariant === 'boolean' && typeof shareable === 'boolean' && (minRows === 1 || minRows === 2);
    return whole && typeof fingerprint === 'string' ? { invariant, minRows, shareable, fingerprint } : null;
  } catch {
    return null; // No result yet, or a torn one: prove it again.
  }
}

async function arithmeticFingerprint(probePath: string, threads: number): Promise<string> {
  const range = { start: 0, end: probeDims.layers };
  const executor = await createExecutor({ onnxPath: probePath, dims: probeDims, range, threads, minRows: 1 });
  try {
    const ids = proofIds(fingerprintRows, probeDims.vocab, 0);
    const { layers, kvHeads, headDim } = probeDims;
    const cache = new KvCache({ layers, kvHeads, headDim });
    const [result] = await executor.run([{ ids, hidden: null, cache, headFrom: 0, want: 'logits' }]);
    const { newkv, logits } = result!;
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

function bytesOf(values: Float32Array | Uint32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
