/**
 * The shard engine in the calling thread (engine.ts has the seam): caches, passes, and at the tail verification.
 * Invariant: the tokens that verdicts commit do not depend on how the sequence was cut into passes. A pass blocks its
 * thread for as long as it runs, so servers use the same engine through engine-host.ts.
 */
import { readFile } from 'node:fs/promises';
import { systemClock } from './clock.ts';
import type { Adoption, EngineLoad, ForwardPass, PassResult, ShardEngine, TailOptions } from './engine.ts';
import { ShardError } from './errors.ts';
import { createExecutor, type Executor, type ExecutorOptions } from './executor.ts';
import { createGrammarThreads, type GrammarThreads } from './grammar-threads.ts';
import { KvStore } from './kv-store.ts';
import { isFirst, isTail } from './manifest.ts';
import { TailSession } from './tail-session.ts';

/** Twice what the gateway grants: this machine may be the slower one. */
const compileMsMax = 8000;

/** Plain data: it may cross threads. */
export interface EngineOptions extends ExecutorOptions {
  /** Budget for keys and values of all sessions, idle ones included. */
  readonly kvBytesMax: number;
  /** At the tail the file of token bytes, for grammars; without it they are refused. */
  readonly vocabPath?: string | null;
}

/** Loads the range. Throws ShardError engine_failed. */
export async function createLocalEngine(options: EngineOptions): Promise<ShardEngine> {
  try {
    return new LocalEngine(await createExecutor(options), options);
  } catch (cause) {
    throw new ShardError(
      'engine_failed',
      `the shard ${options.onnxPath} cannot be loaded: ${reason(cause)}`,
      { cause },
    );
  }
}

class LocalEngine implements ShardEngine {
  readonly #executor: Executor;
  readonly #options: EngineOptions;
  readonly #store: KvStore;
  /** At the tail one for every cache in the store, kept ones included. */
  readonly #tails = new Map<string, TailSession>();
  readonly #grammars: GrammarThreads | null;
  #passes = 0;
  #rows = 0;

  constructor(executor: Executor, options: EngineOptions) {
    const { dims, range, kvBytesMax } = options;
    this.#executor = executor;
    this.#options = options;
    const { vocabPath = null } = options;
    this.#grammars =
      vocabPath === null
        ? null
        : createGrammarThreads({
            ...{ tokenBytes: () => readFile(vocabPath), vocab: dims.vocab },
            ...{ compileMsMax, clock: systemClock },
          });
    this.#store = new KvStore({
      shape: { layers: range.end - range.start, kvHeads: dims.kvHeads, headDim: dims.headDim },
      bytesMax: kvBytesMax,
      positionsMax: dims.contextLength,
    });
  }

  async open(session: string, adopt: Adoption | null): Promise<void> {
    // A donor that was evicted here gives nothing, as one that holds less: the first pass will tell the gap.
    const donor = adopt !== null && this.#store.holds(adopt.donor) ? adopt : null;
    if (donor === null) this.#store.open(session);
    else this.#store.adopt(session, donor.donor, donor.length);
    if (isTail(this.#options.range, this.#options.dims)) this.#openHistory(session, donor);
  }

  async prepareTail({ grammar }: TailOptions): Promise<void> {
    if (grammar !== undefined) await this.#threads().compile(grammar);
  }

  async openTail(session: string, options: TailOptions): Promise<void> {
    if (!isTail(this.#options.range, this.#options.dims)) throw badRequest('only the last range verifies');
    this.#store.get(session);
    const { grammar: ebnf, eosIds } = options;
    const grammar = ebnf === undefined ? null : await this.#threads().open(ebnf, eosIds);
    const tail = this.#tails.get(session);
    if (tail === undefined)
      grammar?.close(); // Closed while its grammar was opened.
    else tail.openTail(options, grammar);
  }

  async forward(pass: ForwardPass): Promise<PassResult> {
    const started = performance.now();
    const { session, position, ids, hidden } = pass;
    const cache = this.#store.get(session);
    this.#check(pass, cache.length);
    this.#store.reserve(session, position + ids.length);
    cache.truncate(position);
    const tail = this.#tails.get(session);
    const { want, headFrom } = tail?.headWanted(pass) ?? { want: 'none', headFrom: ids.length };
    try {
      await tail?.askMasks(pass);
      const result = await this.#executor.run({ ids, hidden, cache, headFrom, want });
      cache.append(result.newkv, ids.length, result.passRows);
      this.#passes += 1;
      this.#rows += ids.length;
      const answer = tail?.settle(pass, result) ?? { verdict: null };
      return { hidden: result.hidden, ...answer, runUs: Math.round((performance.now() - started) * 1000) };
    } catch (cause) {
      // What the cache holds is not known any more.
      this.#forget(session);
      throw new ShardError('engine_failed', `the pass failed: ${reason(cause)}`, { cause });
    }
  }

  async close(session: string, mode: 'keep' | 'free'): Promise<void> {
    if (mode === 'free') return this.#forget(session);
    this.#tails.get(session)?.closeTail();
    this.#store.keep(session);
  }

  async load(): Promise<EngineLoad> {
    return {
      sessions: this.#store.sessions,
      kvBytes: this.#store.bytes,
      kvBytesMax: this.#options.kvBytesMax,
      passes: this.#passes,
      rows: this.#rows,
    };
  }

  async dispose(): Promise<void> {
    await this.#grammars?.close();
    await this.#executor.dispose();
  }

  #threads(): GrammarThreads {
    if (this.#grammars === null) throw badRequest('this tail has no vocabulary; pack the model again');
    return this.#grammars;
  }

  /** Ids go with rows: a session that adopts rows adopts their ids, and where rows were evicted ids go too. */
  #openHistory(session: string, adopt: Adoption | null): void {
    const held = adopt === null ? 0 : this.#store.get(session).length;
    const ids = adopt === null ? [] : this.#tails.get(adopt.donor)!.history.head(held);
    const tail = new TailSession();
    tail.history.write(0, ids);
    this.#tails.set(session, tail);
    for (const name of this.#tails.keys()) if (!this.#store.holds(name)) this.#dropTail(name);
  }

  /** Refuses what cannot run before anything is touched. */
  #check({ session, position, ids, hidden, headFrom }: ForwardPass, length: number): void {
    const { dims, range } = this.#options;
    if (position > length) {
      throw new ShardError(
        'gap',
        `the pass starts at ${position}, ${length} positions are held; send from there`,
        {
          detail: { length },
        },
      );
    }
    if (ids.length === 0) throw badRequest('a pass has at least one row');
    if (position + ids.length > dims.contextLength) {
      throw badRequest(
        `positions up to ${position + ids.length} exceed the context of ${dims.contextLength}`,
      );
    }
    if (isFirst(range)) {
      const stranger = ids.find((id) => id >= dims.vocab);
      if (stranger !== undefined) throw badRequest(`id ${stranger} is not below ${dims.vocab}`);
    } else if (hidden?.length !== ids.length * dims.hidden) {
      throw badRequest(
        `${ids.length} hidden rows of ${dims.hidden} were expected, got ${hidden?.length ?? 0} numbers`,
      );
    }
    if (headFrom < 0 || headFrom > ids.length)
      throw badRequest(`no row ${headFrom} in a pass of ${ids.length}`);
    if (isTail(range, dims) && headFrom < ids.length && !this.#tails.get(session)!.mayVerify)
      throw badRequest('the tail was not told how to sample; open the verdict stream first');
  }

  #forget(session: string): void {
    this.#dropTail(session);
    this.#store.free(session);
  }

  #dropTail(session: string): void {
    this.#tails.get(session)?.closeTail();
    this.#tails.delete(session);
  }
}

function badRequest(message: string): ShardError {
  return new ShardError('bad_request', message);
}

function reason(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
