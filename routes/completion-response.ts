/** What the engine reports → the bodies of a text completion. Pure; OpenAI's older shapes. */
import type { CompletionEvent, Usage } from '../src/completion.ts';
import type { PromptEncoder } from '../src/prompt-encoder.ts';
import type { RatedToken } from '../src/token-logprobs.ts';
import type { FinishEvent } from './answer-events.ts';
import { metricsBody, sumUsage, usageBody } from './answer-figures.ts';
import type { TextOptions } from './completion-request.ts';
import type { TextChunkBody, TextCompletionBody } from './completion-schemas.ts';
import { codePoints, type PlacedToken, textLogprobs } from './text-logprobs.ts';

type TextEvent = Extract<CompletionEvent, { type: 'text' }>;
/** What one chunk says of one choice. */
export type TextPart = TextChunkBody['choices'][number];

/** What all bodies of one answer share. */
export interface TextHead {
  readonly id: string;
  readonly object: 'text_completion';
  readonly created: number;
  readonly model: string;
  readonly system_fingerprint: string;
}

/** A piece of one choice's answer. */
export interface TextPiece {
  readonly text: string;
  readonly ids: readonly number[];
  /** Tokens with log-probabilities, if they were asked for. */
  readonly tokens: readonly PlacedToken[];
}

/** A prompt that the answer begins with. `rated`: null if no log-probabilities were asked for. */
export function echoPiece(
  echo: string,
  promptIds: readonly number[],
  rated: readonly (RatedToken | null)[] | null,
  prompts: PromptEncoder,
): TextPiece {
  if (rated === null) return { text: echo, ids: [], tokens: [] };
  const texts = prompts.pieces(promptIds);
  const tokens = promptIds.map((id, i) => ({
    name: rated[i]?.token ?? prompts.tokenName(id),
    text: texts[i]!,
    rated: rated[i] ?? null,
  }));
  return { text: echo, ids: [], tokens };
}

/** One piece for each delta of a round. An end token has no place in the lists of log-probabilities. */
export function eventPieces({ deltas, ids, logprobs }: TextEvent): TextPiece[] {
  return deltas.map((text, i) => {
    const rated = logprobs?.[i] ?? null;
    return {
      text,
      ids: ids.slice(i, i + 1),
      tokens: rated === null ? [] : [{ name: rated.token, text, rated }],
    };
  });
}

/** The text of one choice so far: pieces in, parts of bodies out. */
export interface TextChoice {
  add(piece: TextPiece): TextPart;
  finish(end: FinishEvent): TextPart;
  /** All that was added, as one. Only after `finish`. */
  whole(): TextCompletionBody['choices'][number];
  /** Mean log-probability of the tokens that were made. */
  readonly likelihood: number;
  readonly end: FinishEvent | null;
}

export function openTextChoice(
  index: number,
  promptIds: readonly number[],
  options: TextOptions,
): TextChoice {
  const pieces: TextPiece[] = [];
  let offset = 0;
  let end: FinishEvent | null = null;

  const chunk = (piece: TextPiece, start: number): TextPart => ({
    index,
    text: piece.text,
    logprobs: options.logprobs === null ? null : textLogprobs(piece.tokens, start),
    finish_reason: null,
    ...(options.withTokenIds && piece.ids.length > 0 && { token_ids: [...piece.ids] }),
  });
  const closing = (finish: FinishEvent) => ({
    finish_reason: finish.reason,
    ...(options.withMetrics && { metrics: metricsBody(finish) }),
  });

  return {
    add(piece) {
      const first = pieces.length === 0;
      pieces.push(piece);
      const body = chunk(piece, offset);
      if (options.logprobs !== null) offset += codePoints(piece.text);
      return first && options.withTokenIds ? { ...body, prompt_token_ids: [...promptIds] } : body;
    },
    finish(event) {
      end = event;
      return { index, text: '', logprobs: null, ...closing(event) };
    },
    whole() {
      const all: TextPiece = {
        text: pieces.map(({ text }) => text).join(''),
        ids: pieces.flatMap(({ ids }) => ids),
        tokens: pieces.flatMap(({ tokens }) => tokens),
      };
      return {
        ...chunk(all, 0),
        ...(options.withTokenIds && { token_ids: [...all.ids], prompt_token_ids: [...promptIds] }),
        ...closing(end!),
      };
    },
    get likelihood() {
      const made = pieces.filter(({ ids }) => ids.length > 0).flatMap(({ tokens }) => tokens);
      const sum = made.reduce((total, { rated }) => total + (rated?.logprob ?? 0), 0);
      return made.length === 0 ? 0 : sum / made.length;
    },
    get end() {
      return end;
    },
  };
}

/** The n choices that are likeliest per token, in that order; all of them in their own order if there are no more. */
export function bestChoices(choices: readonly TextChoice[], n: number): readonly TextChoice[] {
  if (choices.length <= n) return choices;
  return choices.toSorted((a, b) => b.likelihood - a.likelihood).slice(0, n);
}

export function textCompletion(
  head: TextHead,
  choices: readonly TextChoice[],
  usage: Usage,
): TextCompletionBody {
  // Of several prompts each has its place, whatever index the choice was made under.
  return {
    ...head,
    choices: choices.map((choice, index) => ({ ...choice.whole(), index })),
    usage: usageBody(usage),
  };
}

export function textChunk(head: TextHead, choice: TextPart, { withUsage }: TextOptions): TextChunkBody {
  return { ...head, choices: [choice], ...(withUsage && { usage: null }) };
}

export function textUsageChunk(head: TextHead, usage: Usage): TextChunkBody {
  return { ...head, choices: [], usage: usageBody(usage) };
}

/** Of a batch: each prompt counts once, each choice that was made counts. `ends`: by prompt, then by choice. */
export function batchUsage(ends: readonly (readonly FinishEvent[])[]): Usage {
  const byPrompt = ends.map((prompt) => sumUsage(prompt.map(({ usage }) => usage)));
  const total = sumUsage(byPrompt);
  const sum = (of: (usage: Usage) => number): number => byPrompt.reduce((all, usage) => all + of(usage), 0);
  return {
    ...total,
    promptTokens: sum((usage) => usage.promptTokens),
    cachedTokens: sum((usage) => usage.cachedTokens),
  };
}
