/**
 * What a text is likely to say next, by what it or its neighbours said before: the suffix index of one sequence.
 * Documents are the context (prompt, then output), the client's prediction, and optionally earlier outputs of the
 * same owner. For every suffix of the context that occurs elsewhere, the most frequent continuation is followed token
 * by token; its score is the sum of the cumulative frequencies; the best score wins, then the longer suffix.
 * A copy may run past the end of the context into itself, so loops and lists are drafted on.
 * Source: SuffixDecoding (arXiv 2411.04975); scoring and ties as measured on the default model: the prediction is one
 * more document, which is better than a pointer into it that is asked first.
 */
import { behindChange, type CopySource, holds } from './broken-copy.ts';
import { boundary, matchLengthMax, NgramChains, type Occurrence } from './ngram-chains.ts';

/** Context tokens that are indexed, 7 MB; of a longer context the newest half of that at least. */
const contextTokensMax = 131_072;

/** Prediction tokens that are indexed. */
const predictionTokensMax = 65_536;

/**
 * The prediction is indexed as if it followed the end of the prompt, so that it is drafted before the first output
 * token is known. Eight agreed tokens are a fair claim for that: the middle one of the acceptance buckets.
 */
const predictionLeadTokens = 8;

export interface SuffixDraft {
  readonly ids: Uint32Array;
  /** Tokens of context that the winning suffix has; 0 for an empty draft. */
  readonly matchLength: number;
  /** The first so many ids are (also) what the prediction says. */
  readonly fromPrediction: number;
  /** Sum over ids of the share of occurrences that went along so far; at most ids.length. */
  readonly score: number;
}

/** With where the first id was copied from. */
interface Match extends SuffixDraft {
  readonly source: Omit<CopySource, 'textLength'> | null;
}

const nothing: Match = { ids: new Uint32Array(0), matchLength: 0, fromPrediction: 0, score: 0, source: null };

/** A match shorter than this is worth less than going on behind a change in the last copy. */
const resumedBelow = 3;

/** Scores closer than this are equal. */
const scoreEpsilon = 1e-9;

export interface SuffixIndexOptions {
  readonly prompt: Iterable<number>;
  readonly prediction: Uint32Array | null;
  /** Earlier outputs, divided by `boundary`; shared between the sequences of one owner. */
  readonly earlier?: NgramChains;
}

export interface SuffixIndex {
  append(id: number): void;
  /** Up to `count` ids out of the text itself and the prediction. About 0.1 ms, whatever the context length. */
  draft(count: number): SuffixDraft;
  /** The same out of earlier outputs. */
  draftFromEarlier(count: number): SuffixDraft;
}

export function createSuffixIndex({ prompt, prediction, earlier }: SuffixIndexOptions): SuffixIndex {
  const context = new NgramChains({ tokensMax: contextTokensMax });
  for (const id of prompt) context.append(id);
  const predicted =
    prediction === null ? null : indexPrediction(context.tail(predictionLeadTokens), prediction);

  /** The last copy of which a token was right, or that was found by a match. */
  let copied: CopySource | null = null;
  /** A copy that goes on behind a change, until its first token is known to be right. */
  let resumption: CopySource | null = null;

  function bestMatch(documents: readonly (NgramChains | null | undefined)[], count: number): Match {
    const tail = context.tail(matchLengthMax);
    const found: Occurrence[] = [];
    for (const document of documents) document?.collect(tail, found);
    return bestContinuation(found, { context, predicted, count });
  }

  /** The last copy behind a change in it; null if there is none, or the copy still holds. */
  function resumed(count: number): Match | null {
    if (copied === null) return null;
    const place = behindChange(copied, since(copied));
    if (place === null) return null;
    const { chains } = copied;
    const ids: number[] = [];
    for (let at = place - chains.forgotten; ids.length < count && chains.at(at) !== boundary; at++)
      ids.push(chains.at(at));
    if (ids.length === 0) return null;
    const fromPrediction = chains === predicted ? ids.length : 0;
    const source = { chains, from: place, agreed: copied.agreed };
    return { ids: Uint32Array.from(ids), matchLength: 0, fromPrediction, score: 0, source };
  }

  /** What the text says since something was copied. */
  function since({ textLength: from }: CopySource): Int32Array {
    return context.tail(textLength() - from);
  }

  function textLength(): number {
    return context.forgotten + context.length;
  }

  return {
    append: (id) => context.append(id),
    draft(count) {
      if (resumption !== null && holds(resumption, since(resumption))) copied = resumption;
      resumption = null;
      const best = bestMatch([predicted, context], count);
      const goneOn = best.matchLength < resumedBelow ? resumed(count) : null;
      const { source: from, ...chosen } = goneOn ?? best;
      const source = from === null ? null : { ...from, textLength: textLength() };
      if (goneOn !== null) resumption = source;
      else if (source !== null) copied = source;
      return chosen;
    },
    draftFromEarlier: (count) => bestMatch([earlier], count),
  };
}

function indexPrediction(lead: Int32Array, prediction: Uint32Array): NgramChains {
  const chains = new NgramChains({ tokensMax: predictionTokensMax, matchFrom: Math.max(0, lead.length - 1) });
  for (const id of lead) chains.append(id);
  for (const id of prediction.subarray(0, predictionTokensMax - lead.length)) chains.append(id);
  return chains;
}

interface Scope {
  readonly context: NgramChains;
  readonly predicted: NgramChains | null;
  readonly count: number;
}

/** The best-scored continuation over all suffix lengths, the longest first: it wins ties. */
function bestContinuation(found: Occurrence[], scope: Scope): Match {
  found.sort(
    (a, b) =>
      b.length - a.length ||
      Number(b.chains === scope.predicted) - Number(a.chains === scope.predicted) ||
      b.end - a.end,
  );
  let best = nothing;
  for (let from = 0; from < found.length; ) {
    const matchLength = found[from]!.length;
    while (from < found.length && found[from]!.length === matchLength) from += 1;
    const next = follow(found.slice(0, from), matchLength, best.score, scope);
    if (next !== null) best = next;
    if (best.score >= scope.count - scoreEpsilon) break;
  }
  return best;
}

/** Follows the most frequent next token; null as soon as `scoreToBeat` is out of reach. */
function follow(
  occurrences: Occurrence[],
  matchLength: number,
  scoreToBeat: number,
  { context, predicted, count }: Scope,
): Match | null {
  const ids = new Uint32Array(count);
  let alive = occurrences;
  let share = 1;
  let score = 0;
  let length = 0;
  let fromPrediction = 0;
  while (length < count && score + share * (count - length) > scoreToBeat + scoreEpsilon) {
    const next = alive.map((o) => nextId(o, length, context, ids));
    const chosen = mostFrequent(next, alive, predicted);
    if (chosen === boundary) break;
    const kept = alive.filter((_, i) => next[i] === chosen);
    share *= kept.length / alive.length;
    score += share;
    alive = kept;
    if (fromPrediction === length && kept.some((o) => o.chains === predicted)) fromPrediction += 1;
    ids[length++] = chosen;
  }
  if (score <= scoreToBeat + scoreEpsilon) return null;
  const { chains, end } = alive[0]!;
  const source = { chains, from: end + 1 + chains.forgotten, agreed: matchLength };
  return { ids: ids.subarray(0, length), matchLength, fromPrediction, score, source };
}

/** The token `ahead` + 1 places after an occurrence; beyond the end of the context it is the draft itself. */
function nextId({ chains, end }: Occurrence, ahead: number, context: NgramChains, ids: Uint32Array): number {
  const position = end + 1 + ahead;
  return chains === context && position >= context.length
    ? ids[position - context.length]!
    : chains.at(position);
}

/** Ties go to the prediction, then to the most recent occurrence. `boundary` if every occurrence has ended. */
function mostFrequent(
  next: readonly number[],
  alive: readonly Occurrence[],
  predicted: NgramChains | null,
): number {
  const first = next[0]!;
  if (next.every((id) => id === first)) return first;
  const counts = new Map<number, { votes: number; rank: number }>();
  for (let i = 0; i < next.length; i++) {
    if (next[i] === boundary) continue;
    const rank = alive[i]!.chains === predicted ? Infinity : alive[i]!.end;
    const count = counts.get(next[i]!) ?? { votes: 0, rank: -1 };
    counts.set(next[i]!, { votes: count.votes + 1, rank: Math.max(count.rank, rank) });
  }
  let chosen = boundary;
  let most = { votes: 0, rank: -1 };
  for (const [id, count] of counts) {
    if (count.votes > most.votes || (count.votes === most.votes && count.rank > most.rank)) {
      most = count;
      chosen = id;
    }
  }
  return chosen;
}
