/**
 * Does a row's result depend on the pass that it ran in? Made-up sessions go through a range whole, cut up, and side by
 * side; outputs, keys and values are compared bit by bit. Used by the start-up proof (probe.ts).
 */
import type { Executor, ExecutorPass, ExecutorResult } from './executor.ts';
import { KvCache } from './kv-cache.ts';
import { isFirst, isTail, type LayerRange, type ModelDims } from './manifest.ts';

/** Rows of a session that is cut up: several passes of seven and a short last one. */
const cutRows = 47;
/** The first rows before the passes of one: single rows are compared behind a past, not only at the start. */
const cutPrefix = 23;
/** Rows of each session that shares passes: enough for every number of sessions, twice. */
const sharedRows = 24;
/** Rows that a session brings to a shared pass, in turn: plain decoding, drafts and a piece of a prompt. */
const sharedCuts = [1, 7, 1, 3, 12];

export interface RangeToProve {
  readonly dims: ModelDims;
  readonly range: LayerRange;
}

/** One pass of all rows against passes of seven, and of one behind a past. */
export async function isCutInvariant(executor: Executor, range: RangeToProve): Promise<boolean> {
  const whole = await runWhole(executor, new ProofSession(range, cutRows, 0));
  const cuts = [(at: number) => (at === 0 ? cutPrefix : 1), () => 7];
  for (const rowsAt of cuts) {
    const session = new ProofSession(range, cutRows, 0);
    while (session.rowsLeft > 0) {
      const [result] = await executor.run([session.next(rowsAt(session.cache.length))]);
      if (!session.take(result!, whole)) return false;
    }
    if (!session.holdsRowsOf(whole)) return false;
  }
  return true;
}

/** What sessions give alone, one after the other, for `isShareInvariant` to compare with. */
export async function runAlone(
  executor: Executor,
  range: RangeToProve,
  sessions: number,
): Promise<ProofSession[]> {
  const whole: ProofSession[] = [];
  for (let seed = 1; seed <= sessions; seed++) {
    whole.push(await runWhole(executor, new ProofSession(range, sharedRows, seed)));
  }
  return whole;
}

/** The same sessions side by side, one to all of them in a pass, against what each gave alone. */
export async function isShareInvariant(
  executor: Executor,
  range: RangeToProve,
  alone: readonly ProofSession[],
): Promise<boolean> {
  const sessions = alone.map((_, index) => new ProofSession(range, sharedRows, index + 1));
  for (let step = 0; sessions.some(({ rowsLeft }) => rowsLeft > 0); step++) {
    const count = executor.slots - (step % executor.slots);
    // Those with the most rows left go on, so that all are there until the end, in changing slots.
    const going = sessions
      .filter(({ rowsLeft }) => rowsLeft > 0)
      .sort((a, b) => b.rowsLeft - a.rowsLeft)
      .slice(0, count);
    const passes = going.map((session, i) => session.next(sharedCuts[(step + i) % sharedCuts.length]!));
    const results = await executor.run(passes);
    for (const [i, session] of going.entries()) {
      if (!session.take(results[i]!, alone[sessions.indexOf(session)]!)) return false;
    }
  }
  return sessions.every((session, index) => session.holdsRowsOf(alone[index]!));
}

async function runWhole(executor: Executor, session: ProofSession): Promise<ProofSession> {
  const [result] = await executor.run([session.next(session.rowsLeft, 0)]);
  session.take(result!, null);
  return session;
}

/** Made-up rows of one session, and what they have given so far. */
export class ProofSession {
  readonly cache: KvCache;
  /** [rows, H] or, at the tail, [rows, V]; rows without a head stay 0. */
  readonly #outputs: Float32Array;
  readonly #width: number;
  readonly #hiddenWidth: number;
  readonly #ids: Uint32Array;
  readonly #hidden: Float32Array | null;
  #headFrom = 0;

  constructor({ dims, range }: RangeToProve, rows: number, seed: number) {
    this.#width = isTail(range, dims) ? dims.vocab : dims.hidden;
    this.#hiddenWidth = dims.hidden;
    this.#ids = proofIds(rows, dims.vocab, seed);
    this.#hidden = isFirst(range) ? null : proofHidden(rows * dims.hidden, seed);
    this.#outputs = new Float32Array(rows * this.#width);
    const { kvHeads, headDim } = dims;
    this.cache = new KvCache({ layers: range.end - range.start, kvHeads, headDim });
    this.cache.grow(rows);
  }

  get rowsLeft(): number {
    return this.#ids.length - this.cache.length;
  }

  /** At most `rows` further rows. The head starts at another row in each pass, so that short heads are compared too. */
  next(rows: number, headFrom?: number): ExecutorPass {
    const at = this.cache.length;
    const to = Math.min(at + rows, this.#ids.length);
    this.#headFrom = headFrom ?? at % (to - at);
    return {
      ids: this.#ids.subarray(at, to),
      hidden: this.#hidden?.subarray(at * this.#hiddenWidth, to * this.#hiddenWidth) ?? null,
      cache: this.cache,
      headFrom: this.#headFrom,
      want: 'logits',
    };
  }

  /** Takes what the last `next` gave; false if its outputs differ from those of `expected`. */
  take(
    { newkv, passRows, firstRow, hidden, logits }: ExecutorResult,
    expected: ProofSession | null,
  ): boolean {
    const at = this.cache.length;
    const given = hidden ?? logits!;
    const from = (at + (hidden === null ? this.#headFrom : 0)) * this.#width;
    this.#outputs.set(given, from);
    const rows = from / this.#width - at + given.length / this.#width;
    this.cache.append(newkv, rows, passRows, firstRow);
    return expected === null || equalBytes(given, expected.#outputs.subarray(from, from + given.length));
  }

  /** Are all keys and values those of the other session? */
  holdsRowsOf(other: ProofSession): boolean {
    return this.cache.buffers.every((buffer, i) => equalBytes(buffer, other.cache.buffers[i]!));
  }
}

export function proofIds(rows: number, vocab: number, seed: number): Uint32Array {
  return Uint32Array.from({ length: rows }, (_, row) => (row * 7919 + seed * 104_729 + 13) % vocab);
}

/** Hidden rows as inner ranges see them: mostly within a few units, some far out. */
function proofHidden(count: number, seed: number): Float32Array {
  let state = 20_251 + seed;
  return Float32Array.from({ length: count }, (_, i) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const value = (state / 2 ** 32 - 0.5) * 4;
    return i % 97 === 0 ? value * 50 : value;
  });
}

function equalBytes(a: Float32Array, b: Float32Array): boolean {
  return Buffer.compare(bytesOf(a), bytesOf(b)) === 0;
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
