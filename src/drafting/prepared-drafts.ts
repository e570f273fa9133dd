/**
 * Drafts that were written for likely outcomes of a round before it ended. A sequence has one line: what was assumed to
 * follow its tokens. Outcomes branch off that line, and stay good for as long as what becomes final keeps to it; the
 * first token beside it is either one of them or the end of all.
 */
import type { Sequence } from './drafter.ts';
import type { OutcomeDraft } from './outcome-drafts.ts';

/** Outcomes kept of one line; more are not asked for. */
const outcomesMax = 128;

export interface PreparedDrafts {
  /**
   * More is assumed to follow a sequence; outcomes of an earlier line are kept if this one continues it. Gives what
   * they are told to, and those that are known already, in the counting of these guesses.
   */
  extend(sequence: Sequence, guesses: readonly number[]): Extension;
  /** What was written for a sequence whose tokens are followed by `ahead`. */
  find(sequence: Sequence, ahead: readonly number[]): Finding;
  forget(sequence: string): void;
}

export interface Extension {
  readonly known: readonly Pick<OutcomeDraft, 'after' | 'id'>[];
  add(draft: OutcomeDraft): void;
}

/** 'nothing': no round of the sequence was prepared for, or it still goes on as assumed. */
export type Finding =
  | { readonly kind: 'hit'; readonly draft: OutcomeDraft }
  | { readonly kind: 'miss' | 'nothing' };

interface Line {
  /** Tokens of the sequence when the line began. */
  readonly base: number;
  readonly ids: number[];
  /** By place in the line and token. */
  readonly outcomes: Map<string, OutcomeDraft>;
}

export function createPreparedDrafts(): PreparedDrafts {
  const lines = new Map<string, Line>();

  return {
    extend({ id, tokens }, guesses) {
      const known = lines.get(id);
      const line = known !== undefined && continues(known, tokens, guesses) ? known : newLine(tokens.length);
      lines.set(id, line);
      const settled = tokens.length - line.base;
      line.ids.splice(0, line.ids.length, ...tokens.slice(line.base), ...guesses);
      return {
        known: [...line.outcomes.values()]
          .map((outcome) => ({ after: outcome.after - settled, id: outcome.id }))
          .filter(({ after }) => after >= 0),
        add(draft) {
          const outcome = { ...draft, after: draft.after + settled };
          const key = keyOf(outcome.after, outcome.id);
          if (line.outcomes.size < outcomesMax || line.outcomes.has(key)) line.outcomes.set(key, outcome);
        },
      };
    },
    find({ id, tokens }, ahead) {
      const line = lines.get(id);
      if (line === undefined) return { kind: 'nothing' };
      const since = [...tokens.slice(line.base), ...ahead];
      const own = since.pop();
      if (own === undefined || since.some((token, i) => token !== line.ids[i])) return { kind: 'nothing' };
      const draft = line.outcomes.get(keyOf(since.length, own));
      if (draft !== undefined) return { kind: 'hit', draft };
      return own === line.ids[since.length] ? { kind: 'nothing' } : { kind: 'miss' };
    },
    forget: (sequence) => void lines.delete(sequence),
  };
}

/** Do the tokens since keep to the line, and do the guesses behind them go on to its end at least? */
function continues({ base, ids }: Line, tokens: readonly number[], guesses: readonly number[]): boolean {
  const now = [...tokens.slice(base), ...guesses];
  return tokens.length >= base && now.length >= ids.length && ids.every((id, i) => id === now[i]);
}

function newLine(base: number): Line {
  return { base, ids: [], outcomes: new Map() };
}

function keyOf(after: number, id: number): string {
  return `${after} ${id}`;
}
