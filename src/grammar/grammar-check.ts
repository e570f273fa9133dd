/**
 * Asks a thread of its own whether a grammar compiles, with a time limit: a grammar that would explode is refused in
 * bounded time, and the tail compiles what was compiled here before. A thread that is over its time is ended and made
 * anew; it holds nothing but a cache.
 */
import { Worker } from 'node:worker_threads';
import type { CompletionService } from '../completion.ts';
import { GatewayError } from '../errors.ts';

/** Twice what the largest counted string takes over a vocabulary of 49,152 tokens. */
const compileMsMax = 4000;
/** Reading the vocabulary of a large model comes before the first grammar. */
const startMsMax = 20_000;
/** Grammars that wait for the thread; each has at most compileMsMax before it. */
const waitingMax = 16;
/** Grammars known to compile are not sent again. */
const knownMax = 1024;

export interface GrammarCheck {
  /** Throws GatewayError invalid_request for a grammar that does not compile, queue_full. */
  check(ebnf: string, param: string): Promise<void>;
  close(): Promise<void>;
}

export interface GrammarCheckOptions {
  /** The model file: its vocabulary is the grammar's alphabet. */
  readonly modelPath: string;
}

export function createGrammarCheck({ modelPath }: GrammarCheckOptions): GrammarCheck {
  const known = new Set<string>();
  let thread: Worker | null = null;
  let previous: Promise<unknown> = Promise.resolve();
  let waiting = 0;

  async function compile(ebnf: string): Promise<string | null> {
    const fresh = thread === null;
    thread ??= new Worker(new URL('./grammar-thread.ts', import.meta.url), { workerData: { modelPath } });
    const asked = thread;
    asked.ref();
    const { promise, resolve, reject } = Promise.withResolvers<string | null>();
    const late = setTimeout(
      () => resolve(`it takes more than ${compileMsMax} ms to compile; make it simpler`),
      compileMsMax + (fresh ? startMsMax : 0),
    );
    asked.once('message', (reason: string | null) => resolve(reason)).once('error', reject);
    asked.postMessage(ebnf);
    try {
      const reason = await promise;
      if (reason !== null) await retire(asked);
      return reason;
    } catch (error) {
      await retire(asked);
      throw error;
    } finally {
      clearTimeout(late);
      asked.removeAllListeners('message');
      asked.removeAllListeners('error');
      asked.unref();
    }
  }

  async function retire(worker: Worker): Promise<void> {
    if (thread === worker) thread = null;
    await worker.terminate();
  }

  return {
    async check(ebnf, param) {
      if (known.has(ebnf)) return;
      if (waiting >= waitingMax) {
        throw new GatewayError('queue_full', 'Too many grammars are being compiled; try again in a moment.');
      }
      waiting += 1;
      const turn = previous.then(() => compile(ebnf));
      previous = turn.catch(() => {});
      try {
        const reason = await turn;
        if (reason !== null) {
          throw new GatewayError('invalid_request', `'${param}' cannot be served: ${reason}`, { param });
        }
      } finally {
        waiting -= 1;
      }
      if (known.size >= knownMax) known.delete(known.values().next().value!);
      known.add(ebnf);
    },
    async close() {
      if (thread !== null) await retire(thread);
    },
  };
}

/** A service that starts no answer before its grammar is known to compile. */
export function withGrammarCheck(service: CompletionService, grammars: GrammarCheck): CompletionService {
  return {
    async start(request) {
      if (request.grammar !== undefined) await grammars.check(request.grammar.ebnf, request.grammar.param);
      return service.start(request);
    },
  };
}
