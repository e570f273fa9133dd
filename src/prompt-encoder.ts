/**
 * Prompts to ids, in bounded time: a text that could not fit the context is refused before all of it is tokenised,
 * since encoding blocks the thread (0.8 s a megabyte). What is let through is encoded whole, so its ids are exact.
 */
import type { ChatMessage } from './completion.ts';
import { GatewayError } from './errors.ts';
import type { CallForm } from './text/call-form.ts';
import type { ChatTemplate } from './text/chat-template.ts';
import { Detokenizer } from './text/detokenizer.ts';
import type { Tokenizer } from './text/tokenizer.ts';
import { inWords } from './text/tool-messages.ts';

/** Text is probed in pieces of about 30 ms. */
const probeChars = 32_768;
/** Twice what prose needs: shorter texts are encoded without a probe. */
const charsPerTokenUsual = 8;
/** A cut may split tokens, so a piece on its own counts a few too many; never so many more. */
const probeSlack = 2;

export interface PromptEncoder {
  /** Ids of the prompt, up to where the assistant's answer begins. Throws context_length_exceeded, TextError 'rejected'. */
  encodeChat(messages: readonly ChatMessage[]): number[];
  /**
   * A prompt as it is: names of control tokens in it are those tokens. `''` is a text that begins.
   * `addSpecial` false leaves out the token that every text of this model begins with. Throws context_length_exceeded.
   */
  encodePrompt(text: string, addSpecial?: boolean): number[];
  /** Ids of what the client expects in the answer; what no context could hold of it is left out. */
  encodePrediction(text: string): Uint32Array;
  /** Throws invalid_request for the first id that the vocabulary lacks. */
  checkIds(ids: readonly number[], param: string): void;
  /** How many tokens an answer to so many may have; `promptParam` names the prompt in errors. Throws context_length_exceeded. */
  room(promptTokens: number, maxTokens: number | null, promptParam?: string): number;
  decode(ids: readonly number[]): string;
  /** The text that each id adds; joined they are `decode(ids)`. */
  pieces(ids: readonly number[]): string[];
  /** As the vocabulary writes it. */
  tokenName(id: number): string;
  /** The text of the prompt; its ids are encodeChat's. Throws as encodeChat does. */
  render(messages: readonly ChatMessage[]): string;
  readonly contextLength: number;
  /** How the model writes calls of tools. */
  readonly callForm: CallForm;
}

export function createPromptEncoder(options: {
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
  readonly contextLength: number;
}): PromptEncoder {
  const { tokenizer, template, contextLength } = options;
  const charsMax = contextLength * longestToken(tokenizer);

  function couldFit(text: string): boolean {
    if (text.length <= contextLength * charsPerTokenUsual) return true;
    if (text.length > charsMax) return false;
    let tokens = 0;
    for (let at = 0; at < text.length; at += probeChars) {
      tokens += tokenizer.encodeText(text.slice(at, at + probeChars)).length;
      if (tokens > probeSlack * contextLength) return false;
    }
    return true;
  }

  function requireFit(text: string, param: string): void {
    if (couldFit(text)) return;
    throw new GatewayError(
      'context_length_exceeded',
      `This model's maximum context length is ${contextLength} tokens. However, your text of ${text.length} characters has more. Please shorten it.`,
      { param },
    );
  }

  function requireChatFit(messages: readonly ChatMessage[]): void {
    const said = inWords(messages);
    for (const [index, { content }] of said.entries()) requireFit(content, `messages[${index}].content`);
    if (said.length > 1) requireFit(said.map(({ content }) => content).join('\n'), 'messages');
  }

  return {
    contextLength,
    callForm: template.callForm,
    encodeChat(messages) {
      requireChatFit(messages);
      return template.encodeChat(messages);
    },
    encodePrompt(text, addSpecial = true) {
      requireFit(text, 'prompt');
      const ids = tokenizer.encode(text);
      const { addBos, bosId } = tokenizer;
      const begun = addSpecial && addBos && bosId !== null && ids[0] !== bosId ? [bosId, ...ids] : ids;
      // OpenAI's rule: an empty prompt is the start of a document.
      return begun.length > 0 || !addSpecial ? begun : [bosId ?? tokenizer.eosIds[0]!];
    },
    encodePrediction: (text) =>
      Uint32Array.from(tokenizer.encodeText(text.slice(0, contextLength * charsPerTokenUsual))),
    checkIds(ids, param) {
      const wrong = ids.findIndex((id) => id >= tokenizer.vocabSize);
      if (wrong === -1) return;
      throw new GatewayError(
        'invalid_request',
        `'${param}[${wrong}]' is ${ids[wrong]}, but the vocabulary ends at ${tokenizer.vocabSize - 1}.`,
        { param: `${param}[${wrong}]` },
      );
    },
    room(promptTokens, maxTokens, promptParam = 'messages') {
      const room = contextLength - promptTokens;
      // A prompt may fill the context if nothing is to follow.
      if (room >= (maxTokens ?? 1)) return maxTokens ?? room;
      const asked = maxTokens === null ? '' : ` and ${maxTokens} in the completion`;
      throw new GatewayError(
        'context_length_exceeded',
        `This model's maximum context length is ${contextLength} tokens. However, your prompt has ${promptTokens} tokens${asked}. Please reduce the length of the prompt or completion.`,
        { param: room < 1 ? promptParam : 'max_tokens' },
      );
    },
    pieces(ids) {
      const detokenizer = new Detokenizer(tokenizer);
      const pieces = ids.map((id) => detokenizer.push(id));
      const rest = detokenizer.flush();
      return rest === '' ? pieces : [...pieces.slice(0, -1), pieces.at(-1)! + rest];
    },
    decode: (ids) => tokenizer.decode(ids),
    tokenName: (id) => tokenizer.tokens[id]!,
    render(messages) {
      requireChatFit(messages);
      return template.render(messages);
    },
  };
}

/** Most characters that one token can stand for; never fewer bytes than characters. */
function longestToken(tokenizer: Tokenizer): number {
  let longest = 1;
  for (const [id, name] of tokenizer.tokens.entries()) {
    longest = Math.max(longest, tokenizer.isSpecial(id) ? name.length : tokenizer.tokenBytes(id).length);
  }
  return longest;
}
