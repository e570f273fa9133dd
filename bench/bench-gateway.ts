/**
 * One measured answer: a session straight on the scheduler of a serving ring, so that neither HTTP nor text costs
 * time, with the records that the scheduler keeps of every round.
 */
import { randomUUID } from 'node:crypto';
import { greedy } from '../shards/sampler.ts';
import type { DraftPolicy } from '../src/drafting/drafter.ts';
import type { RoundRecord, SessionStats } from '../src/engine/session-stats.ts';
import type { Serving } from '../src/serving.ts';

export interface BenchRequest {
  readonly promptIds: readonly number[];
  readonly maxTokens: number;
  readonly prediction: Uint32Array | null;
  readonly speculation: DraftPolicy;
}

export interface BenchAnswer {
  readonly ids: readonly number[];
  /** Submission to first verdict. */
  readonly firstTokenMs: number;
  /** First verdict to the end. */
  readonly decodeMs: number;
  /** Tokens that came within decodeMs. */
  readonly decodeTokens: number;
  /** The rounds within decodeMs: all but the one that carried the prompt. */
  readonly rounds: readonly RoundRecord[];
}

/** Decodes greedily. Rejects with what the ring fails with. */
export async function generate(
  { scheduler, tokenizer }: Serving,
  request: BenchRequest,
): Promise<BenchAnswer> {
  const ids: number[] = [];
  const stats = await new Promise<SessionStats>((resolve, reject) => {
    scheduler.submit({
      ...request,
      sampling: greedy,
      minTokens: 0,
      ignoreEos: false,
      eosIds: tokenizer.eosIds,
      // A stranger every time: no drafter may have seen the answer in another run of the same prompt.
      owner: randomUUID(),
      signal: new AbortController().signal,
      sink: {
        commit(committed) {
          ids.push(...committed);
          return null;
        },
        backlogTokens: () => 0,
        end: (_reason, ended) => resolve(ended),
        fail: reject,
      },
    });
  });
  const rounds = stats.rounds.filter(({ opening }) => !opening);
  return {
    ids,
    firstTokenMs: stats.firstTokenMs - stats.submittedMs,
    decodeMs: stats.finishedMs - stats.firstTokenMs,
    decodeTokens: rounds.reduce((total, { committed }) => total + committed, 0),
    rounds,
  };
}
