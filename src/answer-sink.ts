/**
 * Committed ids in, text events out: the end of a session that a client reads. Detokenises, finds stop strings, and
 * is the async iterable that the route drains. Unread text stays here; the scheduler sees how much and pauses.
 */
import type { LogprobRows } from '../shards/logprobs.ts';
import type { CompletionEvent } from './completion.ts';
import { backlogTokensMax, type FinishReason, type TokenSink } from './engine/session.ts';
import type { SessionStats } from './engine/session-stats.ts';
import type { PromptScores } from './prompt-scores.ts';
import { Detokenizer } from './text/detokenizer.ts';
import { createStopMatcher, type StopMatcher } from './text/stop-matcher.ts';
import type { Tokenizer } from './text/tokenizer.ts';
import { type RatedToken, ratedTokens } from './token-logprobs.ts';

type FinishEvent = Extract<CompletionEvent, { type: 'finish' }>;

export interface AnswerSinkOptions {
  readonly tokenizer: Tokenizer;
  readonly stop: readonly string[];
  /** Is an end token that is said part of the text's tokens, because it does not end the answer? */
  readonly ignoreEos: boolean;
  /** Of the prompt, if they were asked for. */
  readonly scores: PromptScores | null;
  /** The reader has caught up: rounds that waited for it may go on. */
  readonly onRead: () => void;
  /** The reader left before the end. */
  readonly onLeave: () => void;
  readonly finish: (reason: FinishReason, stats: SessionStats, completionTokens: number) => FinishEvent;
}

export class AnswerSink implements TokenSink, AsyncIterable<CompletionEvent> {
  private readonly options: AnswerSinkOptions;
  private readonly eosIds: ReadonlySet<number>;
  private readonly detokenizer: Detokenizer;
  private readonly stops: StopMatcher;
  private readonly queue: CompletionEvent[] = [];
  private unread = 0;
  private tokens = 0;
  private stopped = false;
  private outcome: { readonly error: unknown } | 'open' | 'ended' = 'open';
  private wakeReader: () => void = () => {};

  constructor(options: AnswerSinkOptions) {
    this.options = options;
    this.eosIds = new Set(options.tokenizer.eosIds);
    this.detokenizer = new Detokenizer(options.tokenizer);
    this.stops = createStopMatcher(options.stop);
  }

  commit(ids: Uint32Array, rows?: LogprobRows): number | null {
    const deltas: string[] = [];
    let cut: number | null = null;
    for (const [i, id] of ids.entries()) {
      const { text, stopped } = this.stops.push(this.eosIds.has(id) ? '' : this.detokenizer.push(id));
      deltas.push(text);
      if (stopped) {
        this.stopped = true;
        cut = i + 1;
        break;
      }
    }
    this.tokens += deltas.length;
    const said = Array.from(ids.subarray(0, deltas.length));
    const logprobs = rows === undefined ? {} : { logprobs: this.rated(said, rows) };
    this.enqueue({ type: 'text', deltas, ids: said, ...logprobs });
    return cut;
  }

  score(position: number, rows: LogprobRows): void {
    this.options.scores?.add(position, rows);
  }

  private rated(ids: readonly number[], rows: LogprobRows): (RatedToken | null)[] {
    const { tokenizer, ignoreEos } = this.options;
    return ratedTokens(tokenizer, ids, rows).map((token, i) =>
      this.eosIds.has(ids[i]!) && !ignoreEos ? null : token,
    );
  }

  backlogTokens(): number {
    return this.unread;
  }

  end(reason: FinishReason, stats: SessionStats): void {
    if (!this.stopped) {
      // What was held back (half a character, the beginning of a stop string) belongs to the answer after all.
      const last = this.stops.push(this.detokenizer.flush());
      const rest = last.stopped ? last.text : last.text + this.stops.flush();
      if (rest !== '') this.enqueue({ type: 'text', deltas: [rest], ids: [] });
    }
    this.enqueue(this.options.finish(reason, stats, this.tokens));
    this.outcome = 'ended';
  }

  fail(error: unknown): void {
    this.outcome = { error };
    this.options.scores?.fail(error);
    this.wakeReader();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<CompletionEvent> {
    try {
      for (;;) {
        const event = this.queue.shift();
        if (event !== undefined) {
          if (event.type === 'text') this.take(event.deltas.length);
          yield event;
        } else if (this.outcome === 'ended') return;
        else if (this.outcome !== 'open') throw this.outcome.error;
        else await new Promise<void>((resolve) => (this.wakeReader = resolve));
      }
    } finally {
      this.options.onLeave();
    }
  }

  private take(tokens: number): void {
    const before = this.unread;
    this.unread -= tokens;
    if (before > backlogTokensMax && this.unread <= backlogTokensMax) this.options.onRead();
  }

  private enqueue(event: CompletionEvent): void {
    if (event.type === 'text') this.unread += event.deltas.length;
    this.queue.push(event);
    this.wakeReader();
  }
}
