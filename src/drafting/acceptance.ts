/**
 * How likely a draft token is to be accepted, given that those before it were: one chance per match-length bucket and
 * draft position. Copies of earlier answers have buckets of their own: with the same match they are right half as often,
 * since another text that used these words goes on with its own matter. A single alpha per source is the wrong model:
 * positions rise steeply (.34 .62 .75 .88 .87 .94 …, suffix drafts on HumanEval) and a geometric fit would stop at one or
 * two tokens.
 * Estimates are decayed counts with a small prior. A session's prior is what all sessions of the source saw; theirs is
 * the table below, measured with the default model on 120 prompts.
 */
import { draftTokensLimit } from './drafter.ts';

/**
 * Smallest match length of each bucket, once for the text itself and once for earlier answers; 0 is for drafts without a
 * match, and for copies that go on behind a change.
 */
const bucketStarts = [0, 1, 2, 3, 4, 5, 7, 10] as const;

/** Matches from here on are long: nearly always right, worth drafts beyond the usual length. */
export const longMatchTokens = 10;

/** Chance of the first token, and of each later one given those before it, by bucket. */
export type AcceptancePrior = readonly { readonly first: number; readonly later: number }[];

export const suffixPrior: AcceptancePrior = [
  // A copy that goes on behind a change in it.
  { first: 0.25, later: 0.6 },
  { first: 0.28, later: 0.61 },
  { first: 0.49, later: 0.71 },
  { first: 0.63, later: 0.75 },
  { first: 0.66, later: 0.73 },
  { first: 0.53, later: 0.71 },
  { first: 0.54, later: 0.88 },
  { first: 0.89, later: 0.93 },
  // Earlier answers: 40 of the default model to prompts of the same kind, all of its own making (docs/log.md).
  { first: 0.16, later: 0.32 },
  { first: 0.16, later: 0.32 },
  { first: 0.27, later: 0.41 },
  { first: 0.35, later: 0.44 },
  { first: 0.4, later: 0.43 },
  { first: 0.48, later: 0.54 },
  { first: 0.55, later: 0.6 },
  { first: 0.65, later: 0.88 },
];

/** A small model of the same family, before anything is known of it. It has no matches, so one bucket. */
export const modelPrior: AcceptancePrior = bucketStarts.map(() => ({ first: 0.65, later: 0.72 }));

/** A trained head, before anything is known of it: a little below what that of the default model reaches on code and maths. */
export const headPrior: AcceptancePrior = bucketStarts.map(() => ({ first: 0.7, later: 0.75 }));

/** Positions 0, 1, 2, 3, 4-7, 8-15, 16-31, 32-63 share their counts. */
const groupsPerBucket = 8;

/** A draft's evidence halves over 35 later drafts of its bucket in all sessions, over 13 in its own. */
const sharedDecay = 0.98;
const sessionDecay = 0.95;

/** The prior counts as so many tokens. */
const priorTokens = 6;

/** How much of a surprise at one position is expected at the next: an exact copy that holds, holds on. */
const surpriseCarried = 0.5;

/** No prior is surer than this: a chance of 1 would promise drafts without end. */
const chanceMax = 0.995;

export interface Acceptance {
  /** Per position group (positionGroup): the chance that a token there is accepted, given those before it. */
  chances(bucket: number): Float64Array;
  /**
   * One draft of which `judged` tokens met the target and the first `accepted` were right (judged <= accepted + 1);
   * its first token stood at position `offset` of the run of guesses.
   */
  observe(bucket: number, accepted: number, judged: number, offset?: number): void;
}

/** What a draft was copied after; of a model's draft a match of no length. */
export interface Match {
  readonly matchLength: number;
  /** In an earlier answer, not in the text itself. */
  readonly fromEarlier?: boolean;
}

export function matchBucket({ matchLength, fromEarlier = false }: Match): number {
  let bucket = bucketStarts.length - 1;
  while (matchLength < bucketStarts[bucket]!) bucket -= 1;
  return fromEarlier ? bucketStarts.length + bucket : bucket;
}

/** Positions that share their counts: 0, 1, 2, 3, 4-7, 8-15, 16-31, 32-63. */
export function positionGroup(position: number): number {
  return position < 4 ? position : Math.min(groupsPerBucket - 1, 33 - Math.clz32(position));
}

/** Tokens of a run of `length` guesses that come before the first wrong one, on average. */
export function runOf(chances: Float64Array, length: number): number {
  let tokens = 0;
  let reach = 1;
  for (let position = 0; position < length; position++) {
    reach *= chances[positionGroup(position)]!;
    tokens += reach;
  }
  return tokens;
}

/** Chance that tokens [offset, offset + length) of a run are all right, given those before. */
export function reachOf(chances: Float64Array, length: number, offset = 0): number {
  let reach = 1;
  for (let i = 0; i < length; i++)
    reach *= chances[positionGroup(Math.min(offset + i, draftTokensLimit - 1))]!;
  return reach;
}

/** What all sessions of one source saw. */
export function createSharedAcceptance(prior: AcceptancePrior): Acceptance {
  const table = tableOf(prior);
  return createAcceptance(sharedDecay, (bucket) => table[bucket]!);
}

const suffixTable = tableOf(suffixPrior);

/** Which of two copies is the better one, before anything is learned: tokens of its run. */
export function expectedRun(match: Match, length: number): number {
  return runOf(suffixTable[matchBucket(match)]!, length);
}

function tableOf(prior: AcceptancePrior): Float64Array[] {
  return prior.map(({ first, later }) => new Float64Array(groupsPerBucket).fill(later).fill(first, 0, 1));
}

/** What one session saw; its observations are not passed on to `shared`. */
export function createSessionAcceptance(shared: Acceptance): Acceptance {
  return createAcceptance(sessionDecay, (bucket) => shared.chances(bucket));
}

function createAcceptance(decay: number, priorOf: (bucket: number) => Float64Array): Acceptance {
  const counts = (): Float64Array[] =>
    Array.from({ length: 2 * bucketStarts.length }, () => new Float64Array(groupsPerBucket));
  const judgedIn = counts();
  const acceptedIn = counts();

  return {
    chances(bucket) {
      const priors = priorOf(bucket);
      const judged = judgedIn[bucket]!;
      const accepted = acceptedIn[bucket]!;
      const chances = new Float64Array(groupsPerBucket);
      for (let group = 0; group < groupsPerBucket; group++) {
        let prior = priors[group]!;
        // The first token says little about the second (a wrong copy fails at once), so surprises carry from there on.
        if (group >= 2 && judged[group - 1]! > 0) {
          const surprise = chances[group - 1]! - priors[group - 1]!;
          prior = Math.min(chanceMax, Math.max(1 - chanceMax, prior + surpriseCarried * surprise));
        }
        chances[group] = (accepted[group]! + priorTokens * prior) / (judged[group]! + priorTokens);
      }
      return chances;
    },
    observe(bucket, accepted, judged, offset = 0) {
      let lastGroup = -1;
      for (let position = 0; position < Math.min(judged, draftTokensLimit); position++) {
        const group = positionGroup(Math.min(offset + position, draftTokensLimit - 1));
        if (group !== lastGroup) {
          judgedIn[bucket]![group]! *= decay;
          acceptedIn[bucket]![group]! *= decay;
          lastGroup = group;
        }
        judgedIn[bucket]![group]! += 1;
        if (position < accepted) acceptedIn[bucket]![group]! += 1;
      }
    },
  };
}
