/**
 * A shard engine in a worker thread, behind the same seam as a local one: passes block that thread and never the
 * caller's loop. Invariant: every call is answered exactly once, also when the thread dies; the thread is never
 * terminated from here, it ends after `dispose`.
 *
 * The process must have been spawned with ORT_GQA_DISABLE_FLASH_ATTENTION=1: a thread's process.env is a copy that
 * native code never sees.
 */
import { Worker } from 'node:worker_threads';
import type { Adoption, EngineLoad, ForwardPass, ForwardReport, ShardEngine, TailOptions } from './engine.ts';
import {
  type EngineCall,
  type EngineMethod,
  type EngineReply,
  fromPlainError,
  fromPlainReport,
  type PlainReport,
  readyId,
} from './engine-call.ts';
import { ShardError } from './errors.ts';
import type { EngineOptions } from './local-engine.ts';

/** Starts the thread and loads the range. Throws ShardError engine_failed. */
export async function startEngineThread(options: EngineOptions): Promise<ShardEngine> {
  const engine = new ThreadEngine(
    new Worker(new URL('./engine-thread.ts', import.meta.url), { workerData: options }),
    options.shared?.slots ?? options.slots ?? 1,
  );
  await engine.ready;
  return engine;
}

interface PendingCall {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: ShardError) => void;
}

class ThreadEngine implements ShardEngine {
  readonly slots: number;
  readonly #worker: Worker;
  readonly #pending = new Map<number, PendingCall>();
  readonly #exited: Promise<void>;
  #nextId = readyId;
  #ended: ShardError | null = null;
  /** Settles when the engine is loaded or cannot be. */
  readonly ready: Promise<unknown>;

  constructor(worker: Worker, slots: number) {
    this.#worker = worker;
    this.slots = slots;
    this.ready = this.#expect(this.#nextId++);
    worker.on('message', (reply: EngineReply) => this.#settle(reply));
    worker.on('error', (cause) => this.#fail(`the engine thread failed: ${cause.message}`, cause));
    this.#exited = new Promise((resolve) => {
      worker.on('exit', (code) => {
        this.#fail(`the engine thread has ended (exit code ${code})`);
        resolve();
      });
    });
  }

  async open(session: string, adopt: Adoption | null): Promise<void> {
    await this.#call('open', [session, adopt]);
  }

  async prepareTail(options: TailOptions): Promise<void> {
    await this.#call('prepareTail', [options]);
  }

  async openTail(session: string, options: TailOptions): Promise<void> {
    await this.#call('openTail', [session, options]);
  }

  async forward(passes: readonly ForwardPass[]): Promise<ForwardReport> {
    // Copies of just the rows: the caller's arrays may be views into the buffers of a socket.
    const copies = passes.map((pass) => ({
      ...pass,
      ids: pass.ids.slice(),
      hidden: pass.hidden?.slice() ?? null,
    }));
    const moved = copies.flatMap(({ ids, hidden }) =>
      hidden === null ? [ids.buffer] : [ids.buffer, hidden.buffer],
    );
    return fromPlainReport((await this.#call('forward', [copies], moved)) as PlainReport);
  }

  async close(session: string, mode: 'keep' | 'free'): Promise<void> {
    await this.#call('close', [session, mode]);
  }

  async load(): Promise<EngineLoad> {
    return (await this.#call('load', [])) as EngineLoad;
  }

  async dispose(): Promise<void> {
    if (this.#ended === null) await this.#call('dispose', []);
    await this.#exited;
  }

  #call<M extends EngineMethod>(
    method: M,
    args: Parameters<ShardEngine[M]>,
    moved: readonly ArrayBuffer[] = [],
  ): Promise<unknown> {
    if (this.#ended !== null) return Promise.reject(this.#ended);
    const id = this.#nextId++;
    const answer = this.#expect(id);
    this.#worker.postMessage({ id, method, args } as EngineCall, moved);
    return answer;
  }

  #expect(id: number): Promise<unknown> {
    return new Promise((resolve, reject) => this.#pending.set(id, { resolve, reject }));
  }

  #settle(reply: EngineReply): void {
    const pending = this.#pending.get(reply.id);
    this.#pending.delete(reply.id);
    if ('error' in reply) pending?.reject(fromPlainError(reply.error));
    else pending?.resolve(reply.value);
  }

  #fail(message: string, cause?: unknown): void {
    this.#ended ??= new ShardError('engine_failed', message, { cause });
    for (const { reject } of this.#pending.values()) reject(this.#ended);
    this.#pending.clear();
  }
}
