/**
 * What the drafts of one source came to: tokens drafted and tokens committed in a round, as decayed means. It serves
 * sources that end a draft by their own confidence: how long the next one gets is not known before it is made, so a
 * table of chances by position would promise too much.
 */

export interface DraftYield {
  /** Tokens drafted in a round. */
  readonly drafted: number;
  /** Tokens committed in a round, the target's own included. */
  readonly committed: number;
  observe(drafted: number, committed: number): void;
}

/** The prior counts as so many rounds. */
const priorRounds = 6;

/** A round's weight halves over 23 later ones. */
const decay = 0.97;

/** Means so far; before the first round those of `prior`, which may itself go on learning. */
export function createDraftYield(prior: Pick<DraftYield, 'drafted' | 'committed'>): DraftYield {
  let rounds = 0;
  let draftedSum = 0;
  let committedSum = 0;
  return {
    get drafted() {
      return (draftedSum + priorRounds * prior.drafted) / (rounds + priorRounds);
    },
    get committed() {
      return (committedSum + priorRounds * prior.committed) / (rounds + priorRounds);
    },
    observe(drafted, committed) {
      rounds = rounds * decay + 1;
      draftedSum = draftedSum * decay + drafted;
      committedSum = committedSum * decay + committed;
    },
  };
}
