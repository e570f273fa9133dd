/**
 * The gateway's end of a draft model's thread (lm-thread.ts): the event loop never waits for a pass. One message per
 * draft, not per token; only tokens that the thread has not seen travel.
 * Invariant: a thread that fails or dies means empty drafts and one report, never a failed request; it is never
 * terminated from outside (ending a thread during a pass aborts the process).
 */
import { Worker } from 'node:worker_threads';
import type { Drafted, DraftTask } from './draft-model.ts';
import type { DraftModelOptions } from './draft-reader.ts';
import { emptyDraft, type Sequence } from './drafter.ts';
import type { FromLmThread, ToLmThread } from './lm-thread.ts';
import type { OutcomeDraft, OutcomeTask } from './outcome-drafts.ts';

/** Sequences that the thread knows; beyond it the one drafted for longest ago is told again when it is next asked. */
const sequencesMax = 1024;

const nothing: Drafted = { ids: emptyDraft.ids, confidence: null, probs: null };

/** What a caller adds to the sequence itself. */
type Asked = Pick<DraftTask, 'count' | 'reachMin' | 'ahead'>;

export interface DraftThread {
  /** Can it draft for this sequence at all? */
  ableFor(sequence: Sequence): boolean;
  /** Has the prompt read, in idle time. */
  read(sequence: Sequence): void;
  /** An empty draft if the thread fails; rejects when aborted. */
  draft(sequence: Sequence, asked: Asked, signal: AbortSignal): Promise<Drafted>;
  /** Drafts for likely outcomes come to `tell` until `stop` is called, or a draft is wanted. */
  prepare(
    sequence: Sequence,
    task: Omit<OutcomeTask, 'sequence' | 'sampling'>,
    tell: (draft: OutcomeDraft) => void,
  ): { stop(): void };
  forget(sequence: string): void;
  end(): Promise<void>;
}

/** Starts the thread and loads the model. Throws an Error that says why it cannot be loaded. */
export async function startDraftThread(
  model: DraftModelOptions,
  onFailure: (error: Error) => void,
): Promise<DraftThread> {
  const worker = new Worker(new URL('./lm-thread.ts', import.meta.url), { workerData: model });
  /** Sequence id → tokens told; in the order of use. */
  const told = new Map<string, number>();
  /** Sequences that the model could not draft for; they are not tried again. */
  const unable = new Set<string>();
  const waiting = new Map<number, { sequence: string; settle: (drafted: Drafted) => void }>();
  const preparing = new Map<number, (draft: OutcomeDraft) => void>();
  let requests = 0;
  let ended = false;
  const exited = new Promise<void>((resolve) => {
    worker.once('exit', () => {
      ended = true;
      for (const { settle } of waiting.values()) settle(nothing);
      waiting.clear();
      preparing.clear();
      resolve();
    });
  });
  await loaded(worker);
  worker.on('error', onFailure);
  worker.on('message', (message: FromLmThread) => {
    if (message.type === 'ready') return;
    if (message.type === 'outcome') {
      preparing.get(message.request)?.(message.drafted);
      return;
    }
    const call = waiting.get(message.request);
    waiting.delete(message.request);
    if (message.type === 'draft') {
      call?.settle(message.drafted);
    } else if (call !== undefined) {
      unable.add(call.sequence);
      onFailure(new Error(`the draft model failed: ${message.message}`));
      call.settle(nothing);
    }
  });

  function post(message: ToLmThread): void {
    if (!ended) worker.postMessage(message);
  }

  function tell({ id, tokens }: Sequence): void {
    const from = told.get(id) ?? 0;
    told.delete(id);
    if (told.size >= sequencesMax) forget(told.keys().next().value!);
    told.set(id, tokens.length);
    if (from < tokens.length) {
      post({ type: 'learn', sequence: id, from, ids: Uint32Array.from(tokens.slice(from)) });
    }
  }

  function forget(id: string): void {
    unable.delete(id);
    if (told.delete(id)) post({ type: 'close', sequence: id });
  }

  return {
    ableFor: ({ id }) => !ended && !unable.has(id),
    read(sequence) {
      tell(sequence);
      post({ type: 'read', sequence: sequence.id });
    },
    async draft(sequence, asked, signal) {
      tell(sequence);
      const request = requests++;
      const stop = newFlag();
      const answer = new Promise<Drafted>((settle) => {
        waiting.set(request, { sequence: sequence.id, settle });
      });
      const abort = (): void => {
        raise(stop);
        waiting.get(request)?.settle(nothing);
        waiting.delete(request);
      };
      signal.addEventListener('abort', abort, { once: true });
      const { id, sampling, draftPairs: pairs = null } = sequence;
      post({ type: 'draft', request, task: { sequence: id, sampling, pairs, ...asked }, stop });
      try {
        const drafted = await answer;
        signal.throwIfAborted();
        return drafted;
      } finally {
        signal.removeEventListener('abort', abort);
      }
    },
    prepare(sequence, asked, tellOutcome) {
      tell(sequence);
      const request = requests++;
      const stop = newFlag();
      preparing.set(request, tellOutcome);
      const { id, sampling } = sequence;
      post({ type: 'prepare', request, task: { sequence: id, sampling, ...asked }, stop });
      return {
        stop() {
          raise(stop);
          preparing.delete(request);
        },
      };
    },
    forget,
    async end() {
      post({ type: 'end' });
      await exited;
    },
  };
}

/** Shared with the thread, which looks at it between passes. */
function newFlag(): SharedArrayBuffer {
  return new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
}

function raise(flag: SharedArrayBuffer): void {
  Atomics.store(new Int32Array(flag), 0, 1);
}

/** The thread's first message, or what keeps it from coming. */
function loaded(worker: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown): void => {
      const reason = cause instanceof Error ? cause.message : `the thread ended (exit code ${String(cause)})`;
      reject(new Error(`the draft model cannot be loaded: ${reason}`, { cause }));
    };
    worker.once('error', fail);
    worker.once('exit', fail);
    worker.once('message', () => {
      worker.off('error', fail);
      worker.off('exit', fail);
      resolve();
    });
  });
}
