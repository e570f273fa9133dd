/**
 * How many tokens to draft: the length that minimises expected time per committed token,
 * (round(length + 1) + draft(length)) / E(length), where E counts the tokens that a round is expected to commit.
 * It is searched outright, since chances differ by position; 0 (plain decoding) is one of the lengths.
 * Durations come in as functions; nothing here reads a clock.
 */
import { type Acceptance, longMatchTokens, type Match, matchBucket, positionGroup } from './acceptance.ts';
import { draftTokensLimit } from './drafter.ts';

/** Longest draft after a short match, or without one. */
const usualLengthMax = 32;

/** The last length stays while it costs at most this much more than the best one: no flutter between equals. */
const hysteresis = 0.02;

/** Where drafting does not pay it is tried again after so many rounds, at first and at last (it doubles in between). */
const probeRoundsMin = 16;
const probeRoundsMax = 256;
const probeLengthMax = 4;

export interface LengthRequest {
  readonly match: Match;
  /** Tokens that could be drafted. */
  readonly available: number;
  readonly acceptance: Acceptance;
  /** Time of a round with so many rows (draft + 1), ms. */
  readonly roundMs: (rows: number) => number;
  /** Time of drafting so many tokens, ms; 0 for a draft that is already made. */
  readonly draftMs: (length: number) => number;
}

export interface LengthChoice {
  readonly length: number;
  /** Expected time per committed token at this length. */
  readonly msPerToken: number;
}

export interface DraftLength {
  choose(request: LengthRequest): LengthChoice;
}

/** Expected time per committed token for lengths 0 … lengthMax, ms. */
export function pricesByLength(request: LengthRequest, lengthMax: number): number[] {
  const chances = request.acceptance.chances(matchBucket(request.match));
  const prices = [request.roundMs(1)];
  let reach = 1;
  let tokens = 1;
  for (let length = 1; length <= lengthMax; length++) {
    reach *= chances[positionGroup(length - 1)]!;
    tokens += reach;
    prices.push((request.roundMs(length + 1) + request.draftMs(length)) / tokens);
  }
  return prices;
}

interface BucketState {
  /** Last length that was wanted (not cut by what was available); null before the first. */
  length: number | null;
  idleRounds: number;
  probeRounds: number;
}

/** One per session and source: lengths are remembered by bucket of match lengths. */
export function createDraftLength(): DraftLength {
  const states = new Map<number, BucketState>();

  function stateOf(match: Match): BucketState {
    const bucket = matchBucket(match);
    const known = states.get(bucket);
    if (known !== undefined) return known;
    const state = { length: null, idleRounds: 0, probeRounds: probeRoundsMin };
    states.set(bucket, state);
    return state;
  }

  return {
    choose(request) {
      const state = stateOf(request.match);
      const cap = request.match.matchLength >= longMatchTokens ? draftTokensLimit : usualLengthMax;
      const prices = pricesByLength(request, cap);
      const wanted = steady(prices, state.length);
      let length = Math.min(wanted, request.available);
      if (request.available > 0) {
        state.length = wanted;
        if (wanted > 0) {
          state.idleRounds = 0;
          state.probeRounds = probeRoundsMin;
        } else if (++state.idleRounds >= state.probeRounds) {
          state.idleRounds = 0;
          state.probeRounds = Math.min(2 * state.probeRounds, probeRoundsMax);
          length = Math.min(request.available, probeLengthMax, cheapest(prices, 1));
        }
      }
      return { length, msPerToken: prices[length]! };
    },
  };
}

function steady(prices: readonly number[], last: number | null): number {
  const best = cheapest(prices, 0);
  const keeps = last !== null && last < prices.length && prices[last]! <= prices[best]! * (1 + hysteresis);
  return keeps ? last : best;
}

function cheapest(prices: readonly number[], from: number): number {
  let best = from;
  for (let length = from + 1; length < prices.length; length++)
    if (prices[length]! < prices[best]!) best = length;
  return best;
}
