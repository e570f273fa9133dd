/** A named list of prompts and the wording that made them out of tasks. */

export interface BenchPrompt {
  readonly id: string;
  /** Category within the set. */
  readonly kind: string;
  /** The user's message. */
  readonly text: string;
  /** The number that is asked for, where the set tells it. */
  readonly answer?: number;
}

export interface DataSet {
  readonly name: string;
  /** How a task becomes a message; printed with every result, since it decides what the model answers. */
  readonly wording: string;
  readonly prompts: readonly BenchPrompt[];
  /** What a limit left out: answers to them may be known beforehand (warm-store.ts), none of them is measured. */
  readonly others: readonly BenchPrompt[];
}

/** How many prompts are measured; null takes all. */
export interface PromptLimit {
  readonly each: number | null;
  /** The sets that are measured at all, with a limit of their own or null for the common one; null: every set. */
  readonly only: Readonly<Record<string, number | null>> | null;
}

/** Of that set; 0 if it is left out. */
export function limitOf({ each, only }: PromptLimit, set: string): number | null {
  if (only === null) return each;
  return set in only ? (only[set] ?? each) : 0;
}

/** Items to measure, and the rest. */
export interface Cut<T> {
  readonly chosen: readonly T[];
  readonly others: readonly T[];
}

export function cutSet<T>(items: readonly T[], limit: number | null): Cut<T> {
  const chosen = spreadOver(items, limit);
  const kept = new Set(chosen);
  return { chosen, others: items.filter((item) => !kept.has(item)) };
}

/** At most `limit` items at even distances, so that every part of an ordered file is seen. */
export function spreadOver<T>(items: readonly T[], limit: number | null): T[] {
  if (limit === null || limit >= items.length) return [...items];
  return Array.from({ length: limit }, (_, i) => items[Math.floor((i * items.length) / limit)]);
}
