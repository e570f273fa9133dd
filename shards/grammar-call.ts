/**
 * What crosses between grammar-threads.ts and grammar-thread.ts. An answer's place in its grammar is told as a path of
 * ids; each call says from where on the path is another one than before.
 */

/** What the thread is started with. */
export interface GrammarThreadData {
  /** The file of token bytes (token-bytes-file.ts). */
  readonly tokenBytes: Uint8Array;
  /** Ids that logits have. */
  readonly vocab: number;
  /** Memory of the grammars above which the thread calls itself outgrown. */
  readonly bytesMax: number;
}

/** The path of an answer: ids before `from` are as they were. */
export interface PathChange {
  readonly from: number;
  readonly ids: readonly number[];
  /** Of the whole path: the ids that are known; those behind are guesses. */
  readonly known: number;
}

export type GrammarCall =
  | { readonly type: 'compile'; readonly call: number; readonly ebnf: string }
  | {
      readonly type: 'open';
      readonly call: number;
      readonly answer: number;
      readonly ebnf: string;
      readonly eosIds: readonly number[];
    }
  /** Answered in `memory` (mask-rows.ts): a row behind the known ids, and one behind each guess. */
  | {
      readonly type: 'masks';
      readonly answer: number;
      readonly path: PathChange;
      readonly memory: SharedArrayBuffer;
    }
  | { readonly type: 'trace'; readonly call: number; readonly answer: number; readonly path: PathChange }
  | { readonly type: 'close'; readonly answer: number };

/** How far guesses go with the grammar. */
export interface Trace {
  /** Guesses that it allows, one behind the other. */
  readonly allowed: number;
  /** Text that must come behind the known ids; '' where there is a choice. */
  readonly forcedFirst: string;
  /** Text that must come behind the guesses that are allowed. */
  readonly forced: string;
}

export interface GrammarReply {
  readonly call: number;
  /** Why it could not be done, or null. */
  readonly reason: string | null;
  readonly trace: Trace | null;
  /** The thread has more memory than it should: no further grammars. */
  readonly outgrown: boolean;
}
