/**
 * XGrammar (WebAssembly, inside its package: nothing is fetched) as functions that return at once. Its JavaScript side
 * is a UMD script in a package of type "module", which Node cannot import, and hides its binding behind promises that
 * verification cannot wait for; so the script is run as a function that hands out the binding.
 * Each load is an instance of its own: after an error that C++ did not expect, nothing of an instance is to be trusted.
 */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { compileFunction } from 'node:vm';

/** Anything that lives in WebAssembly's memory until deleted. */
interface Owned {
  delete(): void;
}

type OwnedVector = Owned;

export interface CompiledHandle extends Owned {}

export interface MatcherHandle extends Owned {
  AcceptToken(id: number, verbose: boolean): boolean;
  /** Bits by id, lowest first. Aborts when the matcher has accepted an end token. */
  GetNextTokenBitmask(vocab: number): OwnedVector;
  FindJumpForwardString(): string;
  Rollback(tokens: number): void;
}

interface CompilerHandle extends Owned {
  CompileGrammar(grammar: Owned): CompiledHandle;
}

/** The part of the binding that is used here. Strings may be given as bytes. */
export interface GrammarLibrary {
  /** All of WebAssembly's memory: another view when it has grown. */
  readonly HEAP8: Int8Array;
  readonly Grammar: { readonly FromEBNF: new (ebnf: string, root: string) => Owned };
  readonly TokenizerInfo: new (
    tokens: OwnedVector,
    kind: 'RAW',
    vocab: number,
    stopIds: OwnedVector,
    spacePrefix: boolean,
  ) => Owned;
  readonly GrammarCompiler: new (vocabulary: Owned, threads: number, cache: boolean) => CompilerHandle;
  readonly GrammarMatcher: new (
    compiled: CompiledHandle,
    stopIds: OwnedVector,
    endsWithoutStop: boolean,
    rollbackMax: number,
  ) => MatcherHandle;
  vecStringFromJSArray(strings: readonly Uint8Array[]): OwnedVector;
  vecIntFromJSArray(values: readonly number[]): OwnedVector;
  /** A view into WebAssembly's memory: valid until its next call. */
  vecIntToView(vector: OwnedVector): Int32Array;
}

export interface LoadedLibrary {
  readonly library: GrammarLibrary;
  /** What C++ said last on its error stream, without the place in its source. */
  readonly lastComplaint: () => string;
}

const scriptUrl = import.meta.resolve('@mlc-ai/web-xgrammar');
const exportLine = 'exports.default = index;';
const bindingLine = 'exports.loadBinding = async () => { await asyncInitBinding(); return binding; };';

export async function loadGrammarLibrary(): Promise<LoadedLibrary> {
  const source = await readFile(fileURLToPath(scriptUrl), 'utf8');
  const script = source.replace(exportLine, bindingLine);
  if (script === source) throw new Error('this version of @mlc-ai/web-xgrammar has another shape');
  let complaint = '';
  const quiet = {
    log() {},
    warn() {},
    error(text: unknown) {
      const said = String(text).replace(/^\[FATAL\] \S+ /, '');
      if (!said.startsWith('Aborted(')) complaint = said;
    },
  };
  // Without `process` the script takes the path that needs no file system and no dynamic import.
  const run = compileFunction(script, ['exports', 'module', 'process', 'location', 'console'], {
    filename: 'web-xgrammar.js',
  });
  const exports: { loadBinding?: () => Promise<GrammarLibrary> } = {};
  run(exports, {}, undefined, { href: scriptUrl }, quiet);
  return { library: await exports.loadBinding!(), lastComplaint: () => complaint };
}
