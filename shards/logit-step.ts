/** One change of a logit row before a token is chosen; logit-steps.ts lists them in order. */
import type { HistoryFollower } from './token-history.ts';

export interface LogitStep {
  /** Output tokens from this index on are left as they are; Infinity where that never comes. */
  readonly until: number;
  /** Told of the ids before the token; null for steps that do not depend on them. */
  readonly follower: HistoryFollower | null;
  /** Changes logits [V] in place, for output token number `output`. Masked ids become -Infinity, never all of them. */
  apply(logits: Float32Array, output: number): void;
}
