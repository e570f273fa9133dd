/** Token-level requests to a Serving: what the lossless tests compare is ids, not text. */
import type { Sampling } from '../../shards/sampler.ts';
import type { DraftPolicy } from '../../src/drafting/drafter.ts';
import type { TailExtras, TokenSink } from '../../src/engine/session.ts';
import type { SessionStats } from '../../src/engine/session-stats.ts';
import type { Serving } from '../../src/serving.ts';

export interface GenerateOptions {
  readonly promptIds: readonly number[];
  readonly sampling: Sampling;
  readonly maxTokens: number;
  readonly policy: DraftPolicy;
  readonly prediction?: readonly number[] | null;
  readonly eosIds?: readonly number[];
  readonly tail?: TailExtras;
  readonly owner?: string;
  readonly signal?: AbortSignal;
  /** Hears of every commit. */
  readonly onCommit?: () => void;
}

export interface Generated {
  readonly ids: number[];
  readonly stats: SessionStats;
}

/** Resolves with the ids of the whole answer, or rejects with what the sink was told. */
export function generate(
  { scheduler }: Pick<Serving, 'scheduler'>,
  options: GenerateOptions,
): Promise<Generated> {
  return new Promise((resolve, reject) => {
    const ids: number[] = [];
    const sink: TokenSink = {
      commit(committed) {
        ids.push(...committed);
        options.onCommit?.();
        return null;
      },
      backlogTokens: () => 0,
      end: (_reason, stats) => resolve({ ids, stats }),
      fail: reject,
    };
    scheduler.submit({
      promptIds: options.promptIds,
      sampling: options.sampling,
      maxTokens: options.maxTokens,
      minTokens: 0,
      ignoreEos: options.eosIds === undefined,
      eosIds: options.eosIds ?? [],
      ...(options.tail !== undefined && { tail: options.tail }),
      prediction: options.prediction ? Uint32Array.from(options.prediction) : null,
      speculation: options.policy,
      owner: options.owner ?? '',
      signal: options.signal ?? new AbortController().signal,
      sink,
    });
  });
}
