/**
 * Finds calls of tools in the text of an answer, as it comes in. The grammar of such an answer forces their form.
 * Invariant: joined, the pieces of one call's arguments are its JSON text, and nothing of a call is content.
 */
import type { CallForm } from './call-form.ts';

export type AnswerPiece =
  | { readonly type: 'content'; readonly text: string }
  /** A call begins; told once per index. */
  | { readonly type: 'call'; readonly index: number; readonly name: string }
  | { readonly type: 'arguments'; readonly index: number; readonly text: string };

/** A JSON string at the beginning of a text. */
const leadingString = /^"(?:[^"\\]|\\.)*"/;

export class ToolCallParser {
  readonly #form: CallForm;
  #state: 'text' | 'head' | 'arguments' | 'end' = 'text';
  #held = '';
  #calls = 0;
  #complete = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;

  constructor(form: CallForm) {
    this.#form = form;
  }

  /** Were there calls, and is the last of them complete? */
  get endsWithCalls(): boolean {
    return this.#calls > 0 && this.#complete === this.#calls && this.#state === 'text';
  }

  /** Calls whose closing tag was read. */
  get completeCalls(): number {
    return this.#complete;
  }

  push(delta: string): AnswerPiece[] {
    this.#held += delta;
    const pieces: AnswerPiece[] = [];
    for (let moved = true; moved; ) moved = this.#advance(pieces);
    return pieces;
  }

  /** At the end of the answer: text that was held back since it might have opened a call. */
  flush(): AnswerPiece[] {
    const text = this.#state === 'text' && this.#calls === 0 ? this.#held : '';
    this.#held = '';
    return text === '' ? [] : [{ type: 'content', text }];
  }

  /** One step through the state that the held text allows; false when more text is needed. */
  #advance(pieces: AnswerPiece[]): boolean {
    switch (this.#state) {
      case 'text':
        return this.#readText(pieces);
      case 'head':
        return this.#readHead(pieces);
      case 'arguments':
        return this.#readArguments(pieces);
      case 'end': {
        const { closing } = this.#form;
        if (this.#held.length < closing.length) return false;
        this.#held = this.#held.slice(closing.length);
        this.#complete += 1;
        this.#state = 'text';
        return true;
      }
    }
  }

  #readText(pieces: AnswerPiece[]): boolean {
    const { opening } = this.#form;
    const at = this.#held.indexOf(opening);
    const certain = at < 0 ? this.#held.length - heldLength(this.#held, opening) : at;
    // Between and behind calls there are line breaks alone.
    if (certain > 0 && this.#calls === 0)
      pieces.push({ type: 'content', text: this.#held.slice(0, certain) });
    this.#held = this.#held.slice(at < 0 ? certain : at + opening.length);
    if (at >= 0) this.#state = 'head';
    return at >= 0;
  }

  #readHead(pieces: AnswerPiece[]): boolean {
    const { beforeName, beforeArguments } = this.#form;
    const [name] = leadingString.exec(this.#held.slice(beforeName.length)) ?? [null];
    const length = beforeName.length + (name?.length ?? 0) + beforeArguments.length;
    if (name === null || this.#held.length < length) return false;
    this.#held = this.#held.slice(length);
    pieces.push({ type: 'call', index: this.#calls, name: JSON.parse(name) as string });
    this.#calls += 1;
    this.#state = 'arguments';
    return true;
  }

  #readArguments(pieces: AnswerPiece[]): boolean {
    let end = 0;
    let ended = false;
    while (end < this.#held.length && !ended) ended = this.#follow(this.#held[end++]!);
    const text = this.#held.slice(0, end);
    if (text !== '') pieces.push({ type: 'arguments', index: this.#calls - 1, text });
    this.#held = this.#held.slice(end);
    if (ended) this.#state = 'end';
    return ended;
  }

  /** Whether this character ends the outermost object. */
  #follow(character: string): boolean {
    if (this.#inString) {
      if (this.#escaped) this.#escaped = false;
      else if (character === '\\') this.#escaped = true;
      else if (character === '"') this.#inString = false;
      return false;
    }
    if (character === '"') this.#inString = true;
    else if (character === '{' || character === '[') this.#depth += 1;
    else if (character === '}' || character === ']') this.#depth -= 1;
    return this.#depth === 0;
  }
}

/** Characters at the end that may begin an opening tag. */
function heldLength(text: string, opening: string): number {
  for (let length = Math.min(opening.length - 1, text.length); length > 0; length--) {
    if (text.endsWith(opening.slice(0, length))) return length;
  }
  return 0;
}
