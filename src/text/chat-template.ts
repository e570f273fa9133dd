/**
 * Messages to the ids of a prompt, by the Jinja template of the model file. Text that users wrote never becomes a
 * control token: where it spells one, a sentinel character that occurs nowhere else goes inside the name before
 * rendering; the rendered prompt is split at the control tokens that the template itself wrote, and the sentinel taken out.
 */
import { Template } from '@huggingface/jinja';
import { type CallForm, taggedCalls } from './call-form.ts';
import { nativeChat, renderedForm, type TextChange } from './native-tools.ts';
import { TextError } from './text-error.ts';
import type { Tokenizer } from './tokenizer.ts';
import { inWords, type ToolMessage, usesTools } from './tool-messages.ts';
import type { Metadata } from './vocabulary.ts';

export interface ChatTemplate {
  /** Ids of the prompt, up to where the assistant's answer begins. Throws TextError 'rejected'. */
  encodeChat(messages: readonly ToolMessage[]): number[];
  /** The prompt as text; the ids are encodeChat's, since text alone cannot tell who wrote `<|im_end|>`. */
  render(messages: readonly ToolMessage[]): string;
  /** How the model writes calls: as its template does, or as it is told in words. */
  readonly callForm: CallForm;
}

/** The longest known templates, with tools, have about 20,000 characters. */
const MAX_TEMPLATE_CHARS = 1 << 18;

/** Used where a file has no template but a vocabulary made for this one. */
const chatMl =
  "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/** `metadata`: of the GGUF file. Throws TextError: no template, or one that cannot be parsed. */
export function createChatTemplate(metadata: Metadata, tokenizer: Tokenizer): ChatTemplate {
  const source = readSource(metadata, tokenizer);
  const template = parse(source);
  // Some files have a second template, for chats with tools.
  const toolSource = metadata.get('tokenizer.chat_template.tool_use');
  const toolTemplate = typeof toolSource === 'string' ? parse(limited(toolSource)) : template;
  const reserved = [source, ...tokenizer.tokens.filter((_, id) => tokenizer.isSpecial(id))];
  if (typeof toolSource === 'string') reserved.push(toolSource);
  const globals = {
    add_generation_prompt: true,
    bos_token: tokenizer.bosId === null ? '' : tokenizer.tokens[tokenizer.bosId],
    eos_token: tokenizer.tokens[readEosId(metadata) ?? tokenizer.eosIds[0]],
  };
  const nativeForm = renderedForm((chat) => toolTemplate.render({ ...globals, ...chat }));

  const render = (messages: readonly ToolMessage[], change: TextChange = (text) => text): string => {
    const native = nativeForm !== null && usesTools(messages);
    const chat = nativeChat(native ? messages : inWords(messages), change);
    try {
      return (native ? toolTemplate : template).render({ ...globals, ...chat });
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new TextError('rejected', `The model's chat template refuses these messages: ${reason}`, {
        cause,
      });
    }
  };

  const encodeGuarded = (messages: readonly ToolMessage[], texts: readonly string[]) => {
    const sentinel = unusedCharacter([...reserved, ...texts]);
    return tokenizer
      .splitSpecial(render(messages, (text) => guardControlTokens(text, sentinel, tokenizer)))
      .flatMap((part) =>
        typeof part === 'number' ? [part] : tokenizer.encodeText(part.replaceAll(sentinel, '')),
      );
  };

  return {
    callForm: nativeForm ?? taggedCalls,
    render: (messages) => render(messages),
    encodeChat(messages) {
      const texts = textsOf(messages);
      const isHarmless = texts.every((text) => !spellsControlToken(text, tokenizer));
      const ids = isHarmless ? tokenizer.encode(render(messages)) : encodeGuarded(messages, texts);
      const { addBos, bosId } = tokenizer;
      return addBos && bosId !== null && ids[0] !== bosId ? [bosId, ...ids] : ids;
    },
  };
}

/** All that others wrote, in words and in the template's own variables. */
function textsOf(messages: readonly ToolMessage[]): string[] {
  const texts: string[] = inWords(messages).flatMap(({ role, content }) => [role, content]);
  if (usesTools(messages)) {
    nativeChat(messages, (text) => {
      texts.push(text);
      return text;
    });
  }
  return texts;
}

function spellsControlToken(text: string, tokenizer: Tokenizer): boolean {
  return tokenizer.splitSpecial(text).some((part) => typeof part === 'number');
}

/** Puts the sentinel behind the first character of each control token, again where names overlap. */
function guardControlTokens(text: string, sentinel: string, tokenizer: Tokenizer): string {
  let guarded = text;
  while (spellsControlToken(guarded, tokenizer)) {
    const parts = tokenizer.splitSpecial(guarded).map((part) => {
      if (typeof part === 'string') return part;
      const [first, ...rest] = tokenizer.tokens[part];
      return first + sentinel + rest.join('');
    });
    guarded = parts.join('');
  }
  return guarded;
}

/** A private-use character that is in none of the texts. */
function unusedCharacter(texts: readonly string[]): string {
  const used = new Set<number>();
  for (const text of texts) {
    for (const match of text.matchAll(/[\uE000-\uF8FF]/g)) used.add(match[0].charCodeAt(0));
  }
  for (let unit = 0xe000; unit <= 0xf8ff; unit++) if (!used.has(unit)) return String.fromCharCode(unit);
  throw new TextError(
    'rejected',
    'The messages spell control tokens and use all 6,400 private-use characters U+E000 to U+F8FF; leave one unused.',
  );
}

function readSource(metadata: Metadata, tokenizer: Tokenizer): string {
  const source = metadata.get('tokenizer.chat_template');
  if (typeof source === 'string') return limited(source);
  if (source !== undefined) throw new TextError('corrupt', 'tokenizer.chat_template is not a string');
  const isControlToken = (name: string) =>
    tokenizer.splitSpecial(name).length === 1 && spellsControlToken(name, tokenizer);
  if (isControlToken('<|im_start|>') && isControlToken('<|im_end|>')) return chatMl;
  throw new TextError(
    'missing',
    'The file has no chat template (tokenizer.chat_template), and its vocabulary is not made for ChatML: ' +
      'use an instruction-tuned model.',
  );
}

function limited(source: string): string {
  if (source.length <= MAX_TEMPLATE_CHARS) return source;
  throw new TextError('limit', `the chat template has more than ${MAX_TEMPLATE_CHARS} characters`);
}

function parse(source: string): Template {
  try {
    return new Template(source);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new TextError('unsupported', `the chat template cannot be parsed: ${reason}`, { cause });
  }
}

function readEosId(metadata: Metadata): number | null {
  const id = metadata.get('tokenizer.ggml.eos_token_id');
  return typeof id === 'number' ? id : null;
}
