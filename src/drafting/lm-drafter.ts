/**
 * Drafters 'lm' and 'head': a small model of the target's vocabulary, or a head trained for the target, on this machine
 * in a thread of its own so that the event loop never waits for a pass. One message per draft, not per token; only tokens that the thread has not seen travel.
 * Invariant: a thread that fails or dies means empty drafts and one report, never a failed request; it is never
 * terminated from outside (ending a thread during a pass aborts the process).
 */
import { Worker } from 'node:worker_threads';
import type { Drafted, DraftModelOptions, DraftTask } from './draft-model.ts';
import {
  type Ahead,
  countOutcome,
  type Draft,
  type Drafter,
  type DraftRequest,
  draftTokensLimit,
  emptyDraft,
  newDraftCounters,
  type Sequence,
} from './drafter.ts';
import type { FromLmThread, ToLmThread } from './lm-thread.ts';

/** Sequences that the thread knows; beyond it the one drafted for longest ago is told again when it is next asked. */
const sequencesMax = 1024;

const nothing: Drafted = { ids: emptyDraft.ids, confidence: null, probs: null };

const nothingAhead: Ahead = { ids: [], reach: 1 };

export interface LmDrafterOptions {
  /** Left out: lm. */
  readonly name?: 'lm' | 'head';
  readonly model: DraftModelOptions;
  /** Clock, ms. */
  readonly now: () => number;
  /** Called with what went wrong: a failed draft, or the end of the thread. */
  readonly onFailure: (error: Error) => void;
}

/** Starts the thread and loads the model. Throws an Error that says why it cannot be loaded. */
export async function startLmDrafter(options: LmDrafterOptions): Promise<Drafter> {
  const { name = 'lm', model, now, onFailure } = options;
  const counters = newDraftCounters();
  const worker = new Worker(new URL('./lm-thread.ts', import.meta.url), { workerData: model });
  /** Sequence id → tokens told; in the order of use. */
  const told = new Map<string, number>();
  /** Sequences that the model could not draft for; they are not tried again. */
  const unable = new Set<string>();
  const waiting = new Map<number, { sequence: string; settle: (drafted: Drafted) => void }>();
  let requests = 0;
  let ended = false;
  const exited = new Promise<void>((resolve) => {
    worker.once('exit', () => {
      ended = true;
      for (const { settle } of waiting.values()) settle(nothing);
      waiting.clear();
      resolve();
    });
  });
  await loaded(worker);
  worker.on('error', onFailure);
  worker.on('message', (message: FromLmThread) => {
    if (message.type === 'ready') return;
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

  async function draftOne(request: DraftRequest, signal: AbortSignal): Promise<Draft> {
    const { sequence, draftTokensMax, reachMin = 0, ahead = nothingAhead } = request;
    const count = Math.min(draftTokensMax, draftTokensLimit);
    if (count <= 0 || ended || unable.has(sequence.id)) return emptyDraft;
    const start = now();
    const { ids, confidence, probs } = await ask(sequence, { count, reachMin, ahead: ahead.ids }, signal);
    const draftMs = now() - start;
    const offset = ahead.ids.length;
    return {
      ...{ ids, probs, confidence, source: name, matchLength: 0, reach: 1, offset },
      ...{ fromPrediction: 0, draftMs },
    };
  }

  async function ask(
    sequence: Sequence,
    asked: Pick<DraftTask, 'count' | 'reachMin' | 'ahead'>,
    signal: AbortSignal,
  ): Promise<Drafted> {
    tell(sequence);
    const request = requests++;
    const stop = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
    const answer = new Promise<Drafted>((settle) => {
      waiting.set(request, { sequence: sequence.id, settle });
    });
    const abort = (): void => {
      Atomics.store(new Int32Array(stop), 0, 1);
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
  }

  return {
    name,
    counters,
    open(sequence) {
      tell(sequence);
      post({ type: 'read', sequence: sequence.id });
    },
    observe: (_sequence, outcome) => countOutcome(counters, outcome),
    async draft(drafts, signal) {
      signal.throwIfAborted();
      return Promise.all(drafts.map((request) => draftOne(request, signal)));
    },
    close: (sequence) => forget(sequence.id),
    async dispose() {
      post({ type: 'end' });
      await exited;
    },
  };
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
