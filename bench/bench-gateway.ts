/**
 * One measured answer: a session straight on the scheduler of a serving ring, so that neither HTTP nor text costs
 * time, with the records that the scheduler keeps of every round.
 */
import { randomUUID } from 'node:crypto';
import { greedy } from '../shards/sampler.ts';
import type { Verification } from '../shards/verification.ts';
import type { DraftPolicy } from '../src/drafting/drafter.ts';
import type { RoundRecord, SessionStats } from '../src/engine/session-stats.ts';
import type { Serving } from '../src/serving.ts';

export interface BenchRequest {
  readonly promptIds: readonly number[];
  readonly maxTokens: number;
  readonly prediction: Uint32Array | null;
  readonly speculation: DraftPolicy;
  /** Left out: coupled. */
  readonly verification?: Verification;
  /** Left out: a stranger every time, since no drafter may have seen the answer in another run of the same prompt. */
  readonly owner?: string;
}

export interface BenchAnswer {
  readonly ids: readonly number[];
  /** Submission to first verdict. */
  readonly firstTokenMs: number;
  /** First verdict to the end. */
  readonly decodeMs: number;
  /** Tokens that came within decodeMs. */
  readonly decodeTokens: number;
  /** The rounds within decodeMs: all but the one that carried the prompt, unless that spills. */
  readonly rounds: readonly RoundRecord[];
  /**
   * Frames that left with or behind the prompt were answered after the first verdict: tokens for which nobody waited a
   * round within decodeMs.
   */
  readonly spills: boolean;
  readonly leniency: SessionStats['leniency'];
  /** Prompt tokens whose rows an earlier session had left. */
  readonly cachedTokens: number;
}

/** Decodes greedily. Rejects with what the ring fails with. */
export async function generate(
  { scheduler, tokenizer }: Serving,
  { verification, owner = randomUUID(), ...request }: BenchRequest,
): Promise<BenchAnswer> {
  const ids: number[] = [];
  let firstIds = 0;
  const stats = await new Promise<SessionStats>((resolve, reject) => {
    scheduler.submit({
      ...request,
      ...(verification === undefined ? {} : { tail: { verification } }),
      sampling: greedy,
      minTokens: 0,
      ignoreEos: false,
      eosIds: tokenizer.eosIds,
      owner,
      signal: new AbortController().signal,
      sink: {
        commit(committed) {
          ids.push(...committed);
          if (firstIds === 0) firstIds = committed.length;
          return null;
        },
        backlogTokens: () => 0,
        end: (_reason, ended) => resolve(ended),
        fail: reject,
      },
    });
  });
  const [opening, second] = stats.rounds;
  const spills = (opening?.frames ?? 0) > 1 || (second?.fromIdle === false && second.frames > 0);
  return {
    ids,
    firstTokenMs: stats.firstTokenMs - stats.submittedMs,
    decodeMs: stats.finishedMs - stats.firstTokenMs,
    decodeTokens: ids.length - firstIds,
    rounds: spills ? stats.rounds : stats.rounds.filter((round) => !round.opening),
    spills,
    leniency: stats.leniency,
    cachedTokens: stats.cachedTokens,
  };
}
