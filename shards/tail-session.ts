/**
 * What the tail knows of one session beside its cache: the ids at their positions, how to choose, and what has to be
 * done to logits first. It runs no pass; the engine hands it what a pass gave and gets the verdict.
 * Invariant: the verdict depends on options, ids and logits alone, never on how the ids were cut into passes.
 */
import type { ForwardPass, TailOptions } from './engine.ts';
import type { HeadOutput } from './executor.ts';
import { type LogitStep, logitSteps } from './logit-steps.ts';
import { chooseToken, needsLogits } from './sampler.ts';
import { TokenHistory } from './token-history.ts';
import { type Verdict, verify } from './verify.ts';

/** What the head gave for rows from headFrom on; one of both. */
export interface HeadRows {
  /** [rows - headFrom, V]; the verdict may change them. */
  readonly logits: Float32Array | null;
  /** [rows - headFrom] */
  readonly argmax: Uint32Array | null;
}

export class TailSession {
  readonly history = new TokenHistory();
  #options: TailOptions | null = null;
  #steps: readonly LogitStep[] = [];

  /** May rows ask for a head? */
  get mayVerify(): boolean {
    return this.#options !== null;
  }

  openTail(options: TailOptions): void {
    this.#options = options;
    this.#steps = logitSteps(options);
    this.history.follow(this.#steps.flatMap(({ follower }) => follower ?? []));
  }

  /** The session has ended; its ids stay for whoever adopts them. */
  closeTail(): void {
    this.#options = null;
    this.#steps = [];
    this.history.follow([]);
  }

  /** The graph's own argmax is enough for greedy rows that no step changes; rows of logits cost a copy. */
  headOutput({ position, headFrom, ids }: ForwardPass): HeadOutput {
    const options = this.#options;
    if (options === null || headFrom === ids.length) return 'none';
    const output = position + headFrom + 1 - options.promptLength;
    return needsLogits(options.sampling) || this.#steps.some(({ until }) => output < until)
      ? 'logits'
      : 'argmax';
  }

  /** Takes over the ids of a pass that ran and, if rows asked for a head, verifies them. */
  settle({ position, ids, headFrom }: ForwardPass, rows: HeadRows): Verdict | null {
    this.history.write(position, ids);
    const options = this.#options;
    if (options === null || headFrom === ids.length) return null;
    // Row r sits at position + headFrom + r and yields the token after it, which draft[r] has guessed.
    const first = position + headFrom + 1;
    return verify({
      draft: ids.subarray(headFrom + 1),
      chooseAt: (row) => {
        if (rows.argmax !== null) return rows.argmax[row]!;
        const vocab = rows.logits!.length / (ids.length - headFrom);
        return this.#choose(options, rows.logits!.subarray(row * vocab, (row + 1) * vocab), first + row);
      },
      eosIds: options.ignoreEos ? [] : options.eosIds,
    });
  }

  #choose(options: TailOptions, logits: Float32Array, position: number): number {
    const output = position - options.promptLength;
    const steps = this.#steps.filter(({ until }) => output < until);
    // Asked only after all rows before were right, so the ids before are the committed ones.
    if (steps.length > 0) this.history.tell(position);
    for (const step of steps) step.apply(logits, output);
    return chooseToken(logits, options.sampling, position);
  }
}
