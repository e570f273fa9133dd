/**
 * Grammars over token ids: which ids may come next, given those before. A grammar is a text in XGrammar's EBNF with the
 * rule `root`; the gateway and the tail compile the same text over the same token bytes, so they agree on every mask.
 * Invariant: a mask is a function of (grammar, end ids, ids accepted), and rolling back equals never having accepted.
 */
import { ShardError } from './errors.ts';
import {
  type CompiledHandle,
  type GrammarLibrary,
  type LoadedLibrary,
  loadGrammarLibrary,
  type MatcherHandle,
} from './grammar-library.ts';
import { Utf8Guard } from './utf8-guard.ts';

/** Characters of a grammar's text: as JSON, twice that at worst, it must fit an OPEN beside everything else. */
export const grammarCharsMax = 64 * 1024;

/**
 * Compiled grammars that are kept; the ones used longest ago go first. Their memory is bounded by whoever reads `bytes`
 * (grammar-threads.ts): the library does not tell what one of them takes.
 */
export const compiledMax = 128;

export interface Grammars {
  /** A matcher at the beginning of its grammar. Throws ShardError bad_request for a text that is no grammar. */
  open(ebnf: string, eosIds: readonly number[]): Promise<GrammarMatcher>;
  /** Memory of the library's instance, all grammars and matchers included. It never shrinks. */
  bytes(): number;
}

/** `tokenBytes`: by id, empty for what is no text. `vocab`: ids that logits have, padding included. */
export function createGrammars(tokenBytes: () => Promise<readonly Uint8Array[]>, vocab: number): Grammars {
  let loading: Promise<Compiler> | null = null;
  let bytes = 0;
  return {
    bytes: () => bytes,
    async open(ebnf, eosIds) {
      loading ??= tokenBytes().then(async (bytes) => new Compiler(await loadGrammarLibrary(), bytes, vocab));
      const compiler = await loading;
      try {
        return compiler.open(ebnf, eosIds);
      } catch (cause) {
        loading = null; // What was interrupted inside of C++ is not used again.
        const reason = compiler.complaint() || (cause instanceof Error ? cause.message : String(cause));
        throw new ShardError('bad_request', `the grammar cannot be compiled: ${reason}`, { cause });
      } finally {
        bytes = compiler.bytes;
      }
    },
  };
}

/** One instance of the library with the vocabulary in it. */
class Compiler {
  readonly #library: GrammarLibrary;
  readonly #handle: InstanceType<GrammarLibrary['GrammarCompiler']>;
  readonly #vocab: number;
  readonly #guard: Utf8Guard;
  readonly #cache = new Map<string, CompiledHandle>();
  readonly complaint: () => string;

  constructor({ library, lastComplaint }: LoadedLibrary, tokenBytes: readonly Uint8Array[], vocab: number) {
    this.#library = library;
    this.#vocab = vocab;
    this.#guard = new Utf8Guard(tokenBytes, vocab);
    this.complaint = lastComplaint;
    const tokens = library.vecStringFromJSArray(tokenBytes);
    // Matchers bring their own end ids; a vocabulary without any would be searched for well-known names.
    const stopIds = library.vecIntFromJSArray([0]);
    const info = new library.TokenizerInfo(tokens, 'RAW', vocab, stopIds, false);
    this.#handle = new library.GrammarCompiler(info, 1, false);
    for (const vector of [tokens, stopIds]) vector.delete();
  }

  open(ebnf: string, eosIds: readonly number[]): GrammarMatcher {
    const compiled = this.#compiled(ebnf);
    const stopIds = this.#library.vecIntFromJSArray(eosIds);
    const handle = new this.#library.GrammarMatcher(compiled, stopIds, false, -1);
    stopIds.delete();
    return new GrammarMatcher({
      library: this.#library,
      handle,
      vocab: this.#vocab,
      guard: this.#guard,
      eosIds,
    });
  }

  get bytes(): number {
    return this.#library.HEAP8.length;
  }

  #compiled(ebnf: string): CompiledHandle {
    const known = this.#cache.get(ebnf);
    if (known !== undefined) {
      this.#cache.delete(ebnf);
      this.#cache.set(ebnf, known);
      return known;
    }
    const grammar = new this.#library.Grammar.FromEBNF(ebnf, 'root');
    const compiled = this.#handle.CompileGrammar(grammar);
    grammar.delete();
    if (this.#cache.size >= compiledMax) {
      const [oldest, handle] = this.#cache.entries().next().value!;
      // Matchers share what they were made of: deleting it here takes nothing from them.
      handle.delete();
      this.#cache.delete(oldest);
    }
    this.#cache.set(ebnf, compiled);
    return compiled;
  }
}

interface MatcherParts {
  readonly library: GrammarLibrary;
  readonly handle: MatcherHandle;
  readonly vocab: number;
  readonly guard: Utf8Guard;
  readonly eosIds: readonly number[];
}

/** Where one answer stands in its grammar. */
export class GrammarMatcher {
  readonly #parts: MatcherParts;
  /** State of the guard behind each id accepted. */
  readonly #states: number[] = [];
  /** Ids told since the answer ended or left the grammar. */
  #beyond = 0;
  #disposed = false;

  constructor(parts: MatcherParts) {
    this.#parts = parts;
  }

  /** Takes the next id. Returns whether the grammar allows it; one that it refuses is counted all the same. */
  accept(id: number): boolean {
    const { handle, guard, eosIds } = this.#parts;
    const isOpen = this.#beyond === 0 && !this.#disposed;
    if (isOpen && !eosIds.includes(id)) {
      const state = guard.after(this.#state, id);
      if (state !== null && handle.AcceptToken(id, false)) {
        this.#states.push(state);
        return true;
      }
    }
    const ends = isOpen && eosIds.includes(id) && isAllowed(this.mask()!, id);
    this.#beyond += 1;
    return ends;
  }

  /** Takes back the newest `count` ids. */
  rollback(count: number): void {
    const beyond = Math.min(count, this.#beyond);
    this.#beyond -= beyond;
    const within = count - beyond;
    if (within === 0 || this.#disposed) return;
    this.#parts.handle.Rollback(within);
    this.#states.length -= within;
  }

  /** Bits by id, lowest first, of what may come next; null behind the end of the grammar. */
  mask(): Int32Array | null {
    if (this.#beyond > 0 || this.#disposed) return null;
    const { library, handle, vocab, guard } = this.#parts;
    const vector = handle.GetNextTokenBitmask(vocab);
    const mask = library.vecIntToView(vector).slice();
    vector.delete();
    const valid = guard.mask(this.#state);
    for (let word = 0; word < mask.length; word++) mask[word]! &= valid[word]!;
    return mask;
  }

  /** The text that must come next whatever is chosen; '' where there is a choice. */
  forcedText(): string {
    return this.#beyond > 0 || this.#disposed ? '' : this.#parts.handle.FindJumpForwardString();
  }

  /** Gives the memory back; nothing is allowed behind. */
  dispose(): void {
    if (!this.#disposed) this.#parts.handle.delete();
    this.#disposed = true;
  }

  get #state(): number {
    return this.#states.at(-1) ?? 0;
  }
}

export function isAllowed(mask: Int32Array, id: number): boolean {
  return ((mask[id >> 5]! >>> (id & 31)) & 1) === 1;
}
