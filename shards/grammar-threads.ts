/**
 * Grammars in threads of their own, so that compiling one holds up nobody else: a few threads, each with an instance of
 * the library. A new grammar goes where no answer is under way, if there is such a thread or may be.
 * Invariant: an answer's masks do not depend on the thread. One that is ended (it compiled for too long, or the library
 * failed in it) takes no answer with it: those open anew in another thread and tell it their path.
 */
import { Worker } from 'node:worker_threads';
import type { Clock } from './clock.ts';
import { ShardError, toShardError } from './errors.ts';
import { compiledMax } from './grammar.ts';
import type { GrammarCall, GrammarReply, GrammarThreadData, PathChange, Trace } from './grammar-call.ts';
import { MaskRows } from './mask-rows.ts';

/** Each takes 30 MB; more grammars than threads share them. */
const threadsMax = 4;

/**
 * Memory of one thread's compiled grammars, the library's own 16 MiB included. WebAssembly's memory never shrinks, so
 * a thread that grew beyond it gets no further grammars, and ends with its last answer.
 */
const threadBytesMax = 128 * 2 ** 20;

/** How often a grammar is sent again because its thread was lost to another one. */
const triesMax = 3;

/** Loading the library and the vocabulary comes before a thread's first grammar. */
const startMsMax = 20_000;

export interface GrammarThreadsOptions {
  /** The file of token bytes (token-bytes-file.ts). */
  readonly tokenBytes: () => Promise<Uint8Array>;
  /** Ids that logits have. */
  readonly vocab: number;
  /** A grammar that takes longer to compile is refused. */
  readonly compileMsMax: number;
  readonly clock: Clock;
}

/** Where one answer stands in its grammar. */
export interface GrammarAnswer {
  /** Begins to make masks: of the row behind `known`, and of a row behind each guess that the grammar allows. */
  masks(known: readonly number[], guesses: readonly number[]): Promise<MaskRows>;
  /** How far guesses go with the grammar, and what it forces. */
  trace(known: readonly number[], guesses: readonly number[]): Promise<Trace>;
  close(): void;
}

export interface GrammarThreads {
  /** Compiles a grammar, unless that was done before. Throws bad_request with the reason why it cannot be. */
  compile(ebnf: string): Promise<void>;
  /** An answer at the beginning of its grammar. Throws as compile does. */
  open(ebnf: string, eosIds: readonly number[]): Promise<GrammarAnswer>;
  close(): Promise<void>;
}

export function createGrammarThreads(options: GrammarThreadsOptions): GrammarThreads {
  const threads = new Set<GrammarThread>();
  let vocabulary: Promise<Uint8Array> | null = null;
  let closed = false;

  async function threadFor(ebnf: string): Promise<GrammarThread> {
    vocabulary ??= options.tokenBytes();
    const tokenBytes = await vocabulary;
    if (closed) throw new ShardError('draining', 'grammars are not compiled any more');
    const open = [...threads].filter(({ retired }) => !retired);
    const known = open.find((thread) => thread.grammars.has(ebnf));
    if (known !== undefined) return known;
    const least = open.reduce<GrammarThread | null>(
      (best, thread) => (best === null || thread.users < best.users ? thread : best),
      null,
    );
    if (least !== null && (least.users === 0 || threads.size >= threadsMax)) return least;
    const data: GrammarThreadData = { tokenBytes, vocab: options.vocab, bytesMax: threadBytesMax };
    const fresh = new GrammarThread(data, options, () => threads.delete(fresh));
    threads.add(fresh);
    return fresh;
  }

  /** Does something with a grammar in a thread; in another one if that is lost, but for this grammar's own fault. */
  async function within<T>(ebnf: string, work: (thread: GrammarThread) => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      const thread = await threadFor(ebnf);
      try {
        return await work(thread);
      } catch (error) {
        if (thread.ended === null || toShardError(error).code === 'bad_request' || tries === triesMax)
          throw error;
      }
    }
  }

  const attach = (ebnf: string, eosIds: readonly number[]): Promise<Attachment> =>
    within(ebnf, async (thread) => ({ thread, answer: await thread.open(ebnf, eosIds) }));

  return {
    compile: (ebnf) => within(ebnf, (thread) => thread.compile(ebnf)),
    async open(ebnf, eosIds) {
      const first = await attach(ebnf, eosIds);
      return new Answer(first, options.vocab, () => attach(ebnf, eosIds));
    },
    async close() {
      closed = true;
      await Promise.all([...threads].map((thread) => thread.end('it was closed')));
    },
  };
}

/** An answer's place in a thread. */
interface Attachment {
  readonly thread: GrammarThread;
  readonly answer: number;
}

class Answer implements GrammarAnswer {
  readonly #vocab: number;
  readonly #attachAnew: () => Promise<Attachment>;
  #at: Attachment;
  /** As the thread was told. */
  #path: readonly number[] = [];
  #rows: MaskRows | null = null;
  #closed = false;

  constructor(first: Attachment, vocab: number, attachAnew: () => Promise<Attachment>) {
    this.#at = first;
    this.#vocab = vocab;
    this.#attachAnew = attachAnew;
  }

  async masks(known: readonly number[], guesses: readonly number[]): Promise<MaskRows> {
    const { thread, answer } = await this.#attached();
    const rows = MaskRows.create(guesses.length + 1, this.#vocab, thread.delayMs);
    this.#rows = rows;
    thread.writeMasks(answer, this.#change(known, guesses), rows);
    return rows;
  }

  async trace(known: readonly number[], guesses: readonly number[]): Promise<Trace> {
    const { thread, answer } = await this.#attached();
    const path = this.#change(known, guesses);
    this.#path = known; // The thread forgets the guesses by itself.
    return thread.trace(answer, path);
  }

  close(): void {
    this.#closed = true;
    // A thread that is stuck in this grammar is of no use to the others in it.
    if (this.#rows?.late === true) void this.#at.thread.end('a grammar was out of hand');
    else this.#at.thread.close(this.#at.answer);
  }

  async #attached(): Promise<Attachment> {
    if (this.#at.thread.ended === null) return this.#at;
    this.#at = await this.#attachAnew();
    this.#path = [];
    if (this.#closed) this.close();
    return this.#at;
  }

  #change(known: readonly number[], guesses: readonly number[]): PathChange {
    const path = [...known, ...guesses];
    let from = 0;
    while (from < path.length && path[from] === this.#path[from]) from += 1;
    this.#path = path;
    return { from, ids: path.slice(from), known: known.length };
  }
}

interface Waiting {
  readonly resolve: (trace: Trace | null) => void;
  readonly reject: (error: ShardError) => void;
}

class GrammarThread {
  /** Texts that were sent here to be compiled. */
  readonly grammars = new Set<string>();
  /** Why it has ended, or null. */
  ended: ShardError | null = null;
  /** No further grammars: it has grown too large, or the library complained in it. */
  retired = false;
  readonly #worker: Worker;
  readonly #options: Pick<GrammarThreadsOptions, 'compileMsMax' | 'clock'>;
  readonly #onEnd: () => void;
  readonly #exited: Promise<void>;
  readonly #waiting = new Map<number, Waiting>();
  readonly #answers = new Set<number>();
  /** Rows that are being written. */
  readonly #rows = new Set<WeakRef<MaskRows>>();
  #numbers = 0;
  #compiling = 0;
  #turn: Promise<void>;

  constructor(
    data: GrammarThreadData,
    options: Pick<GrammarThreadsOptions, 'compileMsMax' | 'clock'>,
    onEnd: () => void,
  ) {
    this.#options = options;
    this.#onEnd = onEnd;
    this.#worker = new Worker(new URL('./grammar-thread.ts', import.meta.url), { workerData: data });
    this.#worker.on('message', (reply: GrammarReply) => this.#settle(reply));
    this.#worker.on('error', (cause) => void this.end(cause.message));
    this.#exited = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        void this.end('the thread ended');
        resolve();
      });
    });
    this.#worker.unref();
    this.#turn = this.#inTime(startMsMax, (call) => ({ type: 'compile', call, ebnf: 'root ::= "a"' })).catch(
      (cause) => this.end(`it cannot be started: ${cause.message}`),
    );
  }

  /** Answers that are under way here, and grammars that are being compiled. */
  get users(): number {
    return this.#answers.size + this.#compiling;
  }

  /** Longest time until what is asked now is begun with, ms. */
  get delayMs(): number {
    return this.#compiling * this.#options.compileMsMax;
  }

  async compile(ebnf: string): Promise<void> {
    await this.#compiled(ebnf, (call) => ({ type: 'compile', call, ebnf }));
  }

  /** Returns the answer's number. */
  async open(ebnf: string, eosIds: readonly number[]): Promise<number> {
    const answer = this.#numbers++;
    this.#answers.add(answer);
    try {
      await this.#compiled(ebnf, (call) => ({ type: 'open', call, answer, ebnf, eosIds }));
    } catch (error) {
      this.#answers.delete(answer);
      throw error;
    }
    return answer;
  }

  writeMasks(answer: number, path: PathChange, rows: MaskRows): void {
    for (const ref of this.#rows) if (ref.deref()?.wanted !== true) this.#rows.delete(ref);
    this.#rows.add(new WeakRef(rows));
    this.#post({ type: 'masks', answer, path, memory: rows.memory });
  }

  async trace(answer: number, path: PathChange): Promise<Trace> {
    return (await this.#ask((call) => ({ type: 'trace', call, answer, path })))!;
  }

  close(answer: number): void {
    if (this.#answers.delete(answer)) this.#post({ type: 'close', answer });
    this.#endIfIdle();
  }

  async end(reason: string): Promise<void> {
    if (this.ended === null) {
      this.ended = new ShardError('engine_failed', `the grammar was lost: ${reason}`);
      this.#onEnd();
      for (const { reject } of this.#waiting.values()) reject(this.ended);
      this.#waiting.clear();
      for (const rows of this.#rows) rows.deref()?.fail();
      await this.#worker.terminate();
    }
    await this.#exited;
  }

  /** One grammar at a time, each with the whole time that it may take. */
  #compiled(ebnf: string, callOf: (call: number) => GrammarCall): Promise<void> {
    this.grammars.delete(ebnf);
    if (this.grammars.size >= compiledMax) this.grammars.delete(this.grammars.values().next().value!);
    this.grammars.add(ebnf);
    this.#compiling += 1;
    const turn = this.#turn.then(() => this.#inTime(this.#options.compileMsMax, callOf));
    this.#turn = turn
      .catch(() => {
        this.grammars.delete(ebnf);
        this.retired = true;
      })
      .finally(() => {
        this.#compiling -= 1;
        this.#endIfIdle();
      });
    return turn;
  }

  async #inTime(msMax: number, callOf: (call: number) => GrammarCall): Promise<void> {
    const late = Promise.withResolvers<never>();
    const cancel = this.#options.clock.after(msMax, () => {
      const reason = `the grammar takes more than ${msMax} ms to compile; make it simpler`;
      late.reject(new ShardError('bad_request', reason));
      void this.end('another grammar took too long');
    });
    try {
      await Promise.race([late.promise, this.#ask(callOf)]);
    } finally {
      cancel();
    }
  }

  #endIfIdle(): void {
    if (this.retired && this.users === 0) void this.end('it takes no more grammars');
  }

  #ask(callOf: (call: number) => GrammarCall): Promise<Trace | null> {
    if (this.ended !== null) return Promise.reject(this.ended);
    const call = this.#numbers++;
    return new Promise((resolve, reject) => {
      if (this.#waiting.size === 0) this.#worker.ref();
      this.#waiting.set(call, { resolve, reject });
      this.#post(callOf(call));
    });
  }

  #post(call: GrammarCall): void {
    if (this.ended === null) this.#worker.postMessage(call);
  }

  #settle({ call, reason, trace, outgrown }: GrammarReply): void {
    const waiting = this.#waiting.get(call);
    this.#waiting.delete(call);
    if (this.#waiting.size === 0) this.#worker.unref();
    this.retired ||= outgrown || reason !== null;
    if (reason === null) waiting?.resolve(trace);
    else waiting?.reject(new ShardError('bad_request', reason));
  }
}
