/**
 * Drafters under virtual time. The local model is right with the chance that each request was given, on average: at each
 * token it is more or less sure, knows how sure, and is right as often as that. It stops where a real one does, takes its
 * time for every token, and writes one draft after the other (src/drafting/lm-thread.ts).
 */
import {
  type Draft,
  type Drafter,
  type DraftRequest,
  draftTokensLimit,
  emptyDraft,
  newDraftCounters,
} from '../src/drafting/drafter.ts';
import type { VirtualCores } from './virtual-cores.ts';
import { virtualTarget } from './virtual-ring.ts';
import type { VirtualTime } from './virtual-time.ts';

export interface VirtualDrafterOptions {
  readonly time: VirtualTime;
  /** The gateway's. */
  readonly cores: VirtualCores;
  readonly tokenMs: number;
  readonly vocab: number;
  readonly random: () => number;
  /** Chance that a draft token of this session is right, given that those before it are. */
  readonly alphaOf: (session: string) => number;
}

interface Job {
  readonly request: DraftRequest;
  readonly signal: AbortSignal;
  readonly askedMs: number;
  readonly settle: (draft: Draft) => void;
}

export function createVirtualDrafter(options: VirtualDrafterOptions): Drafter {
  const { time, cores, tokenMs, vocab, random, alphaOf } = options;
  const waiting: Job[] = [];
  let writing = false;

  function writeNext(): void {
    if (writing) return;
    const job = waiting.shift();
    if (job === undefined) return;
    if (job.signal.aborted) {
      job.settle(emptyDraft);
      writeNext();
      return;
    }
    writing = true;
    const { ids, confidence } = write(job.request);
    cores.run(tokenMs * ids.length, () => {
      writing = false;
      const offset = job.request.ahead?.ids.length ?? 0;
      const draftMs = time.now() - job.askedMs;
      job.settle({ ...emptyDraft, ids, confidence, source: 'head', offset, draftMs });
      writeNext();
    });
  }

  function write({ sequence, draftTokensMax, reachMin = 0, ahead }: DraftRequest) {
    const alpha = alphaOf(sequence.id);
    const known = [...sequence.tokens.slice(-2), ...(ahead?.ids ?? [])].slice(-2);
    let [before, last] = [known.at(-2) ?? 1, known.at(-1)!];
    const ids: number[] = [];
    const confidence: number[] = [];
    for (let reach = 1; ids.length < Math.min(draftTokensMax, draftTokensLimit); ) {
      // The mean of u^(1/alpha - 1) over u uniform in [0, 1) is alpha.
      const chance = random() ** (1 / alpha - 1);
      reach *= chance;
      if (reach < reachMin && ids.length > 0) break;
      const right = virtualTarget(before, last, vocab);
      [before, last] = [last, random() < chance ? right : (right + 1) % vocab];
      ids.push(last);
      confidence.push(chance);
    }
    return { ids: Uint32Array.from(ids), confidence: Float32Array.from(confidence) };
  }

  return {
    ...createSilentDrafter(),
    name: 'head',
    draft: (requests, signal) =>
      Promise.all(
        requests.map(
          (request) =>
            new Promise<Draft>((settle) => {
              waiting.push({ request, signal, askedMs: time.now(), settle });
              writeNext();
            }),
        ),
      ),
  };
}

/** A source that has nothing to say. */
export function createSilentDrafter(): Drafter {
  return {
    name: 'ngram',
    counters: newDraftCounters(),
    open() {},
    observe() {},
    draft: async (requests) => requests.map(() => emptyDraft),
    close() {},
    async dispose() {},
  };
}
