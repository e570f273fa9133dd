/**
 * The shard engine in the calling thread (engine.ts has the seam): caches, passes, and at the tail verification.
 * Invariant: the tokens that verdicts commit do not depend on how the sequence was cut into passes, nor on whose rows
 * shared them; what a session may not run is told to that session alone. A pass blocks its thread for as long as it
 * runs, so servers use the same engine through engine-host.ts.
 */
import { readFile } from 'node:fs/promises';
import { systemClock } from './clock.ts';
import type {
  Adoption,
  EngineLoad,
  ForwardPass,
  ForwardReport,
  PassOutcome,
  ShardEngine,
  TailOptions,
} from './engine.ts';
import { ShardError, toShardError } from './errors.ts';
import {
  createExecutor,
  type Executor,
  type ExecutorOptions,
  type ExecutorPass,
  type ExecutorResult,
  type ShardGraph,
} from './executor.ts';
import { createGrammarThreads, type GrammarThreads } from './grammar-threads.ts';
import { KvStore } from './kv-store.ts';
import { isFirst, isTail } from './manifest.ts';
import { TailSession } from './tail-session.ts';

/** Twice what the gateway grants: this machine may be the slower one. */
const compileMsMax = 8000;

/** Plain data: it may cross threads. */
export interface EngineOptions extends ExecutorOptions {
  /** A second graph for passes of more sessions than the first has slots for; null or left out: none. */
  readonly shared?: ShardGraph | null;
  /** Budget for keys and values of all sessions, idle ones included. */
  readonly kvBytesMax: number;
  /** At the tail the file of token bytes, for grammars; without it they are refused. */
  readonly vocabPath?: string | null;
}

/** Loads the range. Throws ShardError engine_failed. */
export async function createLocalEngine(options: EngineOptions): Promise<ShardEngine> {
  const executors: Executor[] = [];
  try {
    executors.push(await createExecutor(options));
    if (options.shared) executors.push(await createExecutor({ ...options, ...options.shared }));
    return new LocalEngine(executors, options);
  } catch (cause) {
    for (const executor of executors) await executor.dispose();
    throw new ShardError(
      'engine_failed',
      `the shard ${options.onnxPath} cannot be loaded: ${reason(cause)}`,
      { cause },
    );
  }
}

/** Rows that have been checked and have room. */
interface ReadyPass {
  readonly pass: ForwardPass;
  /** Its place among the outcomes. */
  readonly index: number;
  readonly rows: ExecutorPass;
}

class LocalEngine implements ShardEngine {
  readonly slots: number;
  /** By rising number of slots. */
  readonly #executors: readonly Executor[];
  readonly #options: EngineOptions;
  readonly #store: KvStore;
  /** At the tail one for every cache in the store, kept ones included. */
  readonly #tails = new Map<string, TailSession>();
  readonly #grammars: GrammarThreads | null;
  #passes = 0;
  #frames = 0;
  #rows = 0;

  constructor(executors: readonly Executor[], options: EngineOptions) {
    const { dims, range, kvBytesMax } = options;
    this.#executors = executors;
    this.slots = executors.at(-1)!.slots;
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

  async forward(passes: readonly ForwardPass[]): Promise<ForwardReport> {
    const started = performance.now();
    const outcomes: PassOutcome[] = [];
    const ready: ReadyPass[] = [];
    for (const [index, pass] of passes.entries()) {
      try {
        ready.push({ pass, index, rows: this.#prepare(pass) });
      } catch (thrown) {
        outcomes[index] = { error: toShardError(thrown) };
      }
    }
    const going = await this.#masked(ready, outcomes);
    const rows = going.reduce((sum, { pass }) => sum + pass.ids.length, 0);
    if (going.length > 0) {
      for (const [i, outcome] of (await this.#run(going)).entries()) outcomes[going[i]!.index] = outcome;
      this.#passes += 1;
      this.#frames += going.length;
      this.#rows += rows;
    }
    const runUs = Math.round((performance.now() - started) * 1000);
    return { outcomes, rows, sessions: going.length, runUs };
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
      slots: this.slots,
      passes: this.#passes,
      frames: this.#frames,
      rows: this.#rows,
    };
  }

  async dispose(): Promise<void> {
    await this.#grammars?.close();
    for (const executor of this.#executors) await executor.dispose();
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

  /** Checks a pass and makes room for it; from here on the cache has forgotten what lies behind its position. */
  #prepare(pass: ForwardPass): ExecutorPass {
    const { session, position, ids, hidden } = pass;
    const cache = this.#store.get(session);
    this.#check(pass, cache.length);
    this.#store.reserve(session, position + ids.length);
    cache.truncate(position);
    const head = this.#tails.get(session)?.headWanted(pass) ?? { want: 'none', headFrom: ids.length };
    return { ids, hidden, cache, ...head };
  }

  /** Those whose masks are on their way, made while the pass runs; a grammar that fails has failed its session alone. */
  async #masked(ready: readonly ReadyPass[], outcomes: PassOutcome[]): Promise<ReadyPass[]> {
    const asked = ready.map(({ pass }) => this.#tails.get(pass.session)?.askMasks(pass));
    const answers = await Promise.allSettled(asked);
    return ready.filter(({ pass, index }, i) => {
      const answer = answers[i]!;
      if (answer.status === 'rejected') outcomes[index] = this.#failed(pass.session, answer.reason);
      return answer.status === 'fulfilled';
    });
  }

  /** On the smallest graph that carries them all. */
  async #run(ready: readonly ReadyPass[]): Promise<PassOutcome[]> {
    const executor = this.#executors.find(({ slots }) => slots >= ready.length) ?? this.#executors.at(-1)!;
    try {
      const results = await executor.run(ready.map(({ rows }) => rows));
      return ready.map((each, i) => this.#settle(each, results[i]!));
    } catch (cause) {
      return ready.map(({ pass }) => this.#failed(pass.session, cause));
    }
  }

  #settle({ pass, rows }: ReadyPass, result: ExecutorResult): PassOutcome {
    try {
      rows.cache.append(result.newkv, pass.ids.length, result.passRows, result.firstRow);
      const answer = this.#tails.get(pass.session)?.settle(pass, result) ?? { verdict: null };
      return { result: { hidden: result.hidden, ...answer } };
    } catch (cause) {
      return this.#failed(pass.session, cause);
    }
  }

  /** What the session's cache holds is not known any more. */
  #failed(session: string, cause: unknown): PassOutcome {
    this.#forget(session);
    // Another worker would take as long over this session's grammar.
    if (cause instanceof ShardError && cause.code === 'deadline') return { error: cause };
    return { error: new ShardError('engine_failed', `the pass failed: ${reason(cause)}`, { cause }) };
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
