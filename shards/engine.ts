/**
 * The seam between the worker's network side and its arithmetic. A ShardEngine owns the ONNX session of one
 * layer range, the key/value caches of all sessions on it, and at the tail the sampler and verification.
 * It knows nothing of sockets, frames or epochs: it is handed rows that may run, of one session or of several.
 *
 * Hidden rows and logits are row-major: hidden [rows, H], logits [rows, V].
 */
import type { SparseProbs } from './draft-probs.ts';
import type { ShardError } from './errors.ts';
import type { LogprobRows } from './logprobs.ts';
import type { Penalties } from './penalties.ts';
import type { Sampling } from './sampler.ts';
import type { Verification } from './verification.ts';
import type { Verdict } from './verify.ts';

/** What the tail alone needs to know of a session (the verdict stream's OPEN frame). */
export interface TailOptions {
  readonly sampling: Sampling;
  /** Tokens of the prompt: output token n sits at position promptLength + n. */
  readonly promptLength: number;
  /** Ids that end an answer. */
  readonly eosIds: readonly number[];
  /** eos is masked until so many output tokens exist. */
  readonly minTokens: number;
  /** Never end at eos (benchmarks). */
  readonly ignoreEos: boolean;
  /** Left out: none. */
  readonly penalties?: Penalties;
  /** At most logitBiasMax (open-message.ts). */
  readonly logitBias?: readonly LogitBias[];
  /** Alternatives per token, 0 to logprobsTopMax; left out: no log-probabilities in verdicts. */
  readonly logprobs?: number;
  /** Left out: coupled. */
  readonly verification?: Verification;
  /** What the answer must look like (grammar.ts), at most grammarCharsMax characters of EBNF; left out: anything. */
  readonly grammar?: string;
}

/** Added to the logit of one id, -100 to 100. */
export interface LogitBias {
  readonly id: number;
  readonly bias: number;
}

/** Rows of another session that a new one starts from: `length` positions of `donor` are copied. */
export interface Adoption {
  readonly donor: string;
  readonly length: number;
}

/** The rows of one session in a pass through this range. */
export interface ForwardPass {
  readonly session: string;
  /** Index of ids[0] in its sequence. The cache forgets everything from here on before the pass. */
  readonly position: number;
  /** Token ids [rows]. Every range gets them: the tail verifies against them. */
  readonly ids: Uint32Array;
  /** Hidden rows [rows, H] of the range before, or null at the first range. */
  readonly hidden: Float32Array | null;
  /** Rows before this index need neither head nor verdict; ids.length means none does (prefill). */
  readonly headFrom: number;
  /** Prefill whose ids but the first get log-probabilities at the tail. */
  readonly scores?: boolean;
  /** What the drafter gave each id behind row headFrom; left out for a draft without probabilities. */
  readonly draftProbs?: readonly SparseProbs[];
}

export interface PassResult {
  /** Hidden rows [rows, H] for the next range; null at the tail. */
  readonly hidden: Float32Array | null;
  /** At the tail, if any row wanted a head; null otherwise. */
  readonly verdict: Verdict | null;
  /** At the tail for a pass with `scores`: one row for each id but the first. */
  readonly scores?: LogprobRows;
}

/** What became of one session's rows; an error is that session's alone. */
export type PassOutcome = { readonly result: PassResult } | { readonly error: ShardError };

/** One pass and what became of each session in it. */
export interface ForwardReport {
  /** In the order of the passes. */
  readonly outcomes: readonly PassOutcome[];
  /** Rows that ran, and the sessions they were of. */
  readonly rows: number;
  readonly sessions: number;
  /** Time inside the engine, µs. */
  readonly runUs: number;
}

export interface EngineLoad {
  readonly sessions: number;
  readonly kvBytes: number;
  readonly kvBytesMax: number;
  /** Sessions that one pass may carry. */
  readonly slots: number;
  readonly passes: number;
  /** Sessions in those passes, each counted once a pass. */
  readonly frames: number;
  readonly rows: number;
}

/** All methods throw ShardError. One pass at a time: the caller waits for a result before the next `forward`. */
export interface ShardEngine {
  /** Sessions that one pass may carry. */
  readonly slots: number;
  /** Makes an empty cache, or one that starts with the rows that the donor still has. Throws kv_budget. */
  open(session: string, adopt: Adoption | null): Promise<void>;
  /**
   * Compiles what the options ask for, beside passes, so that openTail is quick. Throws bad_request for a grammar that
   * cannot be compiled.
   */
  prepareTail(options: TailOptions): Promise<void>;
  /** Tail only; must come before the first pass that wants a head. */
  openTail(session: string, options: TailOptions): Promise<void>;
  /**
   * One pass over the rows of at most `slots` sessions, each once. What may not run is told by its outcome and left out:
   * gap (detail.length), unknown_session, kv_budget, bad_request. A pass that fails ends all its sessions: engine_failed.
   */
  forward(passes: readonly ForwardPass[]): Promise<ForwardReport>;
  /** `keep` leaves the cache as an idle donor until evicted, `free` gives its memory back. Unknown ids are fine. */
  close(session: string, mode: 'keep' | 'free'): Promise<void>;
  load(): Promise<EngineLoad>;
  /** Ends the engine after the pass in flight. */
  dispose(): Promise<void>;
}
