/**
 * What the tail knows of one session beside its cache: the ids at their positions, how to choose, and what has to be
 * done to logits first. It runs no pass; the engine hands it what a pass gave and gets the verdict.
 * Invariant: the verdict depends on options, ids and logits alone, never on how the ids were cut into passes.
 */
import type { ForwardPass, PassResult, TailOptions } from './engine.ts';
import type { HeadOutput } from './executor.ts';
import type { GrammarAnswer } from './grammar-threads.ts';
import type { LogitStep } from './logit-step.ts';
import { logitSteps } from './logit-steps.ts';
import { collectLogprobs, type LogprobRows } from './logprobs.ts';
import type { MaskRows } from './mask-rows.ts';
import { needsLogits } from './sampler.ts';
import { TokenHistory } from './token-history.ts';
import { createVerifier, type Verification, weighsLogits } from './verification.ts';
import { type Verdict, verify } from './verify.ts';

/** What a pass is answered with. */
export type TailAnswer = Pick<PassResult, 'verdict' | 'scores'>;

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
  #grammar: GrammarAnswer | null = null;
  /** Of the pass that runs; its first row yields output token `from`. */
  #masks: { readonly rows: MaskRows; readonly from: number } | null = null;

  /** May rows ask for a head? */
  get mayVerify(): boolean {
    return this.#options !== null;
  }

  /** `grammar`: at its beginning, and this session's from here on; null without options.grammar. */
  openTail(options: TailOptions, grammar: GrammarAnswer | null): void {
    this.#grammar?.close();
    this.#grammar = grammar;
    this.#options = options;
    const maskAt = (output: number) => this.#masks!.rows.read(output - this.#masks!.from);
    this.#steps = logitSteps(options, grammar === null ? null : maskAt);
    this.history.follow(this.#steps.flatMap(({ follower }) => follower ?? []));
  }

  /** The session has ended; its ids stay for whoever adopts them. */
  closeTail(): void {
    this.#options = null;
    this.#steps = [];
    this.history.follow([]);
    this.#grammar?.close();
    this.#grammar = null;
  }

  /** Before a pass: has the masks of its rows made beside it. Throws engine_failed. */
  async askMasks({ position, headFrom, ids, scores }: ForwardPass): Promise<void> {
    const grammar = this.#grammar;
    const options = this.#options;
    if (grammar === null || options === null || scores === true || headFrom === ids.length) return;
    const known = [...this.history.head(position), ...ids.subarray(0, headFrom + 1)];
    const said = known.slice(options.promptLength);
    const rows = await grammar.masks(said, [...ids.subarray(headFrom + 1)]);
    this.#masks = { rows, from: said.length };
  }

  /**
   * What the pass needs of the head, and from which row on. The graph's own argmax is enough for greedy rows that no
   * step changes; rows of logits cost a copy.
   */
  headWanted({ position, headFrom, ids, scores }: ForwardPass): { want: HeadOutput; headFrom: number } {
    const options = this.#options;
    if (scores === true) return { want: 'logits', headFrom: 0 };
    if (options === null || headFrom === ids.length) return { want: 'none', headFrom: ids.length };
    const output = position + headFrom + 1 - options.promptLength;
    const logits =
      options.logprobs !== undefined ||
      needsLogits(options.sampling) ||
      weighsLogits(verificationOf(options)) ||
      this.#steps.some(({ until }) => output < until);
    return { want: logits ? 'logits' : 'argmax', headFrom };
  }

  /** Takes over the ids of a pass that ran; verifies or scores them if that was asked for. */
  settle(pass: ForwardPass, rows: HeadRows): TailAnswer {
    this.history.write(pass.position, pass.ids);
    const options = this.#options;
    if (pass.scores === true) return { verdict: null, scores: scoresOf(pass, rows, options?.logprobs ?? 0) };
    if (options === null || pass.headFrom === pass.ids.length) return { verdict: null };
    try {
      return { verdict: this.#verdict(pass, rows, options) };
    } finally {
      this.#masks?.rows.stop();
    }
  }

  #verdict(pass: ForwardPass, rows: HeadRows, options: TailOptions): Verdict {
    const { position, ids, headFrom, draftProbs } = pass;
    const draft = ids.subarray(headFrom + 1);
    const verifier = createVerifier(verificationOf(options), options.sampling);
    const logprobs = options.logprobs === undefined ? null : collectLogprobs(options.logprobs);
    // Row r sits at position + headFrom + r and yields the token after it, which draft[r] has guessed.
    const first = position + headFrom + 1;
    const verdict = verify({
      draft,
      chooseAt: (row) => {
        if (rows.argmax !== null) return rows.argmax[row]!;
        const logits = logitsOf(rows, row, ids.length - headFrom);
        const raw = logprobs !== null && this.#steps.length > 0 ? logits.slice() : logits;
        this.#applySteps(options, logits, first + row);
        const id = verifier.choose({
          logits,
          position: first + row,
          drafted: draft[row] ?? null,
          pairs: draftProbs?.[row] ?? null,
        });
        logprobs?.add(raw, id);
        return id;
      },
      eosIds: options.ignoreEos ? [] : options.eosIds,
    });
    const leniency = verifier.leniency();
    return {
      ...verdict,
      ...(logprobs !== null && { logprobs: logprobs.rows() }),
      ...(leniency !== null && { leniency }),
    };
  }

  #applySteps(options: TailOptions, logits: Float32Array, position: number): void {
    const output = position - options.promptLength;
    const steps = this.#steps.filter(({ until }) => output < until);
    // Asked only after all rows before were right, so the ids before are the committed ones.
    if (steps.length > 0) this.history.tell(position);
    for (const step of steps) step.apply(logits, output);
  }
}

function verificationOf({ verification = { mode: 'coupled' } }: TailOptions): Verification {
  return verification;
}

/** Row r yields the token after it, which is ids[r + 1]; the last row's is not known yet. */
function scoresOf({ ids }: ForwardPass, rows: HeadRows, top: number): LogprobRows {
  const scores = collectLogprobs(top);
  for (let row = 0; row < ids.length - 1; row++) scores.add(logitsOf(rows, row, ids.length), ids[row + 1]!);
  return scores.rows();
}

function logitsOf({ logits }: HeadRows, row: number, rows: number): Float32Array {
  const vocab = logits!.length / rows;
  return logits!.subarray(row * vocab, (row + 1) * vocab);
}
