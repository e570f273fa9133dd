/**
 * How likely a draft token is to be accepted, given that those before it were: one chance per match-length bucket and
 * draft position. A single alpha per source is the wrong model: positions rise steeply (.34 .62 .75 .88 .87 .94 …,
 * suffix drafts on HumanEval) and a geometric fit would stop at one or two tokens.
 * Estimates are decayed counts with a small prior. A session's prior is what all sessions of the source saw; theirs is
 * the table below, measured with the default model on 120 prompts.
 */
import { draftTokensLimit } from './drafter.ts';

/** Smallest match length of each bucket; 0 is for drafts without a match. */
const bucketStarts = [0, 1, 2, 3, 4, 5, 7, 10] as const;

/** Matches from here on are long: nearly always right, worth drafts beyond the usual length. */
export const longMatchTokens = 10;

/** Chance of the first token, and of each later one given those before it, by bucket. */
export type AcceptancePrior = readonly { readonly first: number; readonly later: number }[];

export const suffixPrior: AcceptancePrior = [
  { first: 0.25, later: 0.6 },
  { first: 0.28, later: 0.61 },
  { first: 0.49, later: 0.71 },
  { first: 0.63, later: 0.75 },
  { first: 0.66, later: 0.73 },
  { first: 0.53, later: 0.71 },
  { first: 0.54, later: 0.88 },
  { first: 0.89, later: 0.93 },
];

/** A small model of the same family, before anything is known of it. It has no matches, so one bucket. */
export const modelPrior: AcceptancePrior = bucketStarts.map(() => ({ first: 0.65, later: 0.72 }));

/** Positions 0, 1, 2, 3, 4-7, 8-15, 16-31, 32-63 share their counts. */
const groupsPerBucket = 8;

/** A draft's evidence halves over 35 later drafts of its bucket in all sessions, over 13 in its own. */
const sharedDecay = 0.98;
const sessionDecay = 0.95;

/** The prior counts as so many tokens. */
const priorTokens = 6;

/** How much of a surprise at one position is expected at the next: an exact copy that holds, holds on. */
const surpriseCarried = 0.5;

export interface Acceptance {
  /** Chance that the token at `position` is accepted, given those before it. */
  chance(bucket: number, position: number): number;
  /** One draft of which `judged` tokens met the target and the first `accepted` were right (judged <= accepted + 1). */
  observe(bucket: number, accepted: number, judged: number): void;
}

export function matchBucket(matchLength: number): number {
  let bucket = bucketStarts.length - 1;
  while (matchLength < bucketStarts[bucket]!) bucket -= 1;
  return bucket;
}

/** Tokens that a round with a draft of `length` is expected to commit: 1 + sum of the chances to get so far. */
export function expectedTokens(acceptance: Acceptance, bucket: number, length: number): number {
  let reach = 1;
  let tokens = 1;
  for (let position = 0; position < length; position++) {
    reach *= acceptance.chance(bucket, position);
    tokens += reach;
  }
  return tokens;
}

/** What all sessions of one source saw. */
export function createSharedAcceptance(prior: AcceptancePrior): Acceptance {
  return createAcceptance(sharedDecay, (bucket, group) => {
    const { first, later } = prior[bucket]!;
    return group === 0 ? first : later;
  });
}

/** What one session saw; its observations are not passed on to `shared`. */
export function createSessionAcceptance(shared: Acceptance): Acceptance {
  return createAcceptance(sessionDecay, (bucket, group) => shared.chance(bucket, firstOfGroup(group)));
}

function createAcceptance(decay: number, priorOf: (bucket: number, group: number) => number): Acceptance {
  const judgedIn = new Float64Array(bucketStarts.length * groupsPerBucket);
  const acceptedIn = new Float64Array(bucketStarts.length * groupsPerBucket);

  function estimate(bucket: number, group: number): number {
    const cell = bucket * groupsPerBucket + group;
    let prior = priorOf(bucket, group);
    // The first token says little about the second (a wrong copy fails at once), so surprises carry from there on.
    if (group >= 2 && judgedIn[cell - 1]! > 0) {
      const surprise = estimate(bucket, group - 1) - priorOf(bucket, group - 1);
      prior = Math.min(0.995, Math.max(0.005, prior + surpriseCarried * surprise));
    }
    return (acceptedIn[cell]! + priorTokens * prior) / (judgedIn[cell]! + priorTokens);
  }

  return {
    chance: (bucket, position) => estimate(bucket, groupOf(position)),
    observe(bucket, accepted, judged) {
      let lastGroup = -1;
      for (let position = 0; position < Math.min(judged, draftTokensLimit); position++) {
        const group = groupOf(position);
        const cell = bucket * groupsPerBucket + group;
        if (group !== lastGroup) {
          judgedIn[cell] = judgedIn[cell]! * decay;
          acceptedIn[cell] = acceptedIn[cell]! * decay;
          lastGroup = group;
        }
        judgedIn[cell] = judgedIn[cell]! + 1;
        if (position < accepted) acceptedIn[cell] = acceptedIn[cell]! + 1;
      }
    },
  };
}

function groupOf(position: number): number {
  return position < 4 ? position : Math.min(groupsPerBucket - 1, 33 - Math.clz32(position));
}

function firstOfGroup(group: number): number {
  return group < 4 ? group : 1 << (group - 2);
}
