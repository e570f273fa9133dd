/**
 * Drafts that were written for likely outcomes of a round before it ended. A sequence has one line: what was assumed to
 * follow its tokens. Outcomes branch off that line, and stay good for as long as what becomes final keeps to it; the
 * first token beside it is either one of them or the end of all.
 */
import type { Sequence } from './drafter.ts';
import type { OutcomeDraft } from './outcome-drafts.ts';

/** Outcomes kept of what is not final yet of one line: each has cost a token at least, and a round has time for fewer. */
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
  /** Position of the first of ids: behind the tokens that were final when more was last assumed. */
  base: number;
  /** What was assumed to follow them. */
  ids: readonly number[];
  /** By position and token. */
  readonly outcomes: Map<string, Prepared>;
}

interface Prepared {
  readonly position: number;
  readonly draft: OutcomeDraft;
}

export function createPreparedDrafts(): PreparedDrafts {
  const lines = new Map<string, Line>();

  return {
    extend({ id, tokens }, guesses) {
      const known = lines.get(id);
      const line = known !== undefined && continues(known, tokens, guesses) ? known : newLine();
      lines.set(id, line);
      const base = tokens.length;
      line.base = base;
      line.ids = guesses;
      // What is final has come out one way; other ways are of no use any more.
      for (const [key, { position }] of line.outcomes) if (position < base) line.outcomes.delete(key);
      return {
        known: Array.from(line.outcomes.values(), ({ position, draft }) => ({
          after: position - base,
          id: draft.id,
        })),
        add(draft) {
          const position = base + draft.after;
          const key = keyOf(position, draft.id);
          if (position < line.base) return;
          if (line.outcomes.size < outcomesMax || line.outcomes.has(key))
            line.outcomes.set(key, { position, draft });
        },
      };
    },
    find({ id, tokens }, ahead) {
      const line = lines.get(id);
      if (line === undefined) return { kind: 'nothing' };
      const since = [...tokens.slice(line.base), ...ahead];
      const own = since.pop();
      if (own === undefined || since.some((token, i) => token !== line.ids[i])) return { kind: 'nothing' };
      const prepared = line.outcomes.get(keyOf(line.base + since.length, own));
      if (prepared !== undefined) return { kind: 'hit', draft: prepared.draft };
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

function newLine(): Line {
  return { base: 0, ids: [], outcomes: new Map() };
}

function keyOf(position: number, id: number): string {
  return `${position} ${id}`;
}
