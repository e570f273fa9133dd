/**
 * How many tokens a local model may write for likely outcomes of a round while it is under way. The time is free while
 * one session waits for its links; the more sessions there are, the more of it belongs to drafts that somebody waits for.
 */

/** A round trip over 15 ms links is 100 ms, and a head writes a token in 1 to 2 ms. */
const tokensMax = 48;

/** A smaller share reaches the likeliest outcomes alone, and those not far: not worth holding up the others. */
const tokensMin = 12;

/** Tokens for each of so many running sessions. */
export function preparedTokens(sessions: number): number {
  const share = Math.floor(tokensMax / Math.max(1, sessions));
  return share < tokensMin ? 0 : share;
}
