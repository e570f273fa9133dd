/**
 * How long answers become: how many more tokens an answer of so many is likely to get. A product-limit estimate
 * (Kaplan and Meier 1958) over classes of length: of the answers that reached a class, the share that ended in it.
 * Answers cut by max_tokens, or left by their client, count as having got so far and no more, so short limits do not
 * make answers look short. Old answers fade. An owner's own answers count on top of everybody's.
 */

/** Upper ends of the classes, tokens: an eighth of an octave is finer than any owner's answers are alike. */
const classEnds = Array.from({ length: 61 }, (_, i) => Math.round(8 * 2 ** (i / 4)));
/** Everybody's answers count as so many of the owner's own. */
const sharedAnswers = 8;
/** An answer's weight halves over 138 later ones. */
const decay = 0.995;
/** Owners with counts of their own; of more, the one seen first starts anew. */
const ownersMax = 256;
/** Believed of everybody until there are answers: chat ends within a few hundred tokens, a tenth in each class. */
const priorHazard = 0.1;
const priorAnswers = 4;

interface Counts {
  /** Weight of answers that reached a class, and of those that ended within it. */
  readonly reached: Float64Array;
  readonly ended: Float64Array;
}

export interface OutputLengths {
  /** An answer ended; `complete`: by itself, not by a limit. */
  observe(owner: string, tokens: number, complete: boolean): void;
  /** Expected tokens still to come for an answer that has `tokens` and may have `tokensMax`. */
  remaining(owner: string, tokens: number, tokensMax: number): number;
}

export function createOutputLengths(): OutputLengths {
  const shared = newCounts();
  const owners = new Map<string, Counts>();

  function countsOf(owner: string): Counts {
    const known = owners.get(owner);
    if (known !== undefined) return known;
    const counts = newCounts();
    if (owners.size >= ownersMax) owners.delete(owners.keys().next().value!);
    owners.set(owner, counts);
    return counts;
  }

  function hazard(own: Counts | undefined, index: number): number {
    const all = (shared.ended[index]! + priorAnswers * priorHazard) / (shared.reached[index]! + priorAnswers);
    if (own === undefined) return all;
    return (own.ended[index]! + sharedAnswers * all) / (own.reached[index]! + sharedAnswers);
  }

  return {
    observe(owner, tokens, complete) {
      for (const counts of [shared, countsOf(owner)]) {
        const last = classOf(tokens);
        for (let index = 0; index <= last; index++) {
          counts.reached[index] = counts.reached[index]! * decay + 1;
          counts.ended[index] = counts.ended[index]! * decay;
        }
        if (complete) counts.ended[last]! += 1;
        // It was cut within its last class: whether it would have ended there is not known.
        else counts.reached[last]! -= 1;
      }
    },
    remaining(owner, tokens, tokensMax) {
      const own = owners.get(owner);
      let expected = 0;
      let alive = 1;
      let from = tokens;
      for (let index = classOf(tokens + 1); from < tokensMax; index++) {
        const to = Math.min(classEnds[index] ?? Number.POSITIVE_INFINITY, tokensMax);
        const start = index === 0 ? 0 : classEnds[index - 1]!;
        const width = (classEnds[index] ?? tokensMax) - start;
        // The rest of a class has the rest of its hazard.
        const ends = 1 - (1 - hazard(own, Math.min(index, classEnds.length - 1))) ** ((to - from) / width);
        expected += alive * (1 - ends / 2) * (to - from);
        alive *= 1 - ends;
        from = to;
      }
      return expected;
    },
  };
}

function newCounts(): Counts {
  return {
    reached: new Float64Array(classEnds.length),
    ended: new Float64Array(classEnds.length),
  };
}

function classOf(tokens: number): number {
  const index = classEnds.findIndex((end) => tokens <= end);
  return index === -1 ? classEnds.length - 1 : index;
}
