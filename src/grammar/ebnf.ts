/**
 * Text of a grammar in XGrammar's EBNF, written rule by rule. Invariant: equal bodies share one rule; so do the ends of
 * counted repetitions, one rule a count. A state of a grammar is checked against the whole vocabulary when it is
 * compiled (with 49,152 tokens 40 ms where any text may follow, next to nothing where little may): counts of wide
 * classes are what makes a grammar slow.
 */

/** Inclusive ranges of code points, ascending, without overlap. */
export type CodePoints = readonly (readonly [number, number])[];

/** A grammar grew beyond its limit. */
export class GrammarTooLarge extends Error {}

export class EbnfWriter {
  readonly #charsMax: number;
  readonly #bodies = new Map<string, string>();
  readonly #names = new Map<string, string>();
  #chars = 0;

  constructor(charsMax: number) {
    this.#charsMax = charsMax;
  }

  /** A name for a rule whose body follows by `define`. */
  reserve(): string {
    const name = `r${this.#names.size}`;
    this.#names.set(name, '');
    return name;
  }

  /** Throws GrammarTooLarge. */
  define(name: string, body: string): void {
    this.#names.set(name, body);
    this.#chars += name.length + body.length + 6;
    if (this.#chars > this.#charsMax) {
      throw new GrammarTooLarge(`its grammar has more than ${this.#charsMax} characters`);
    }
  }

  /** The rule with this body. */
  rule(body: string): string {
    const known = this.#bodies.get(body);
    if (known !== undefined) return known;
    const name = this.reserve();
    this.#bodies.set(body, name);
    this.define(name, body);
    return name;
  }

  /** The rule whose body may name itself. */
  recursive(bodyOf: (self: string) => string): string {
    const key = `recursive ${bodyOf('self')}`;
    const known = this.#bodies.get(key);
    if (known !== undefined) return known;
    const name = this.reserve();
    this.#bodies.set(key, name);
    this.define(name, bodyOf(name));
    return name;
  }

  /** `item` is a rule's name; `max` null means any number. '' where it can only be nothing. */
  repeat(item: string, min: number, max: number | null): string {
    const rest = max === null ? [`${item}*`] : max > min ? [this.#upTo(item, max - min)] : [];
    return [...Array<string>(min).fill(item), ...rest].join(' ');
  }

  /** The grammar that begins with `start`. */
  text(start: string): string {
    const rules = [...this.#names].map(([name, body]) => `${name} ::= ${body}\n`);
    return `root ::= ${start}\n${rules.join('')}`;
  }

  #upTo(item: string, count: number): string {
    let rule = this.rule(`"" | ${item}`);
    for (let n = 1; n < count; n++) rule = this.rule(`"" | ${item} ${rule}`);
    return rule;
  }
}

/** Exactly this text. */
export function literal(text: string): string {
  return `"${[...text].map(escapeInString).join('')}"`;
}

/** One of these ASCII characters; never empty. */
export function oneOfAscii(ranges: CodePoints): string {
  return `[${classBody(ranges)}]`;
}

/** Any character but these of ASCII. */
export function noneOfAscii(ranges: CodePoints): string {
  return `[^${classBody(ranges)}]`;
}

function classBody(ranges: CodePoints): string {
  return ranges
    .map(([from, to]) => (from === to ? hexEscape(from) : `${hexEscape(from)}-${hexEscape(to)}`))
    .join('');
}

export function anyOf(alternatives: readonly string[]): string {
  return alternatives.length === 1 ? alternatives[0]! : `(${alternatives.join(' | ')})`;
}

function escapeInString(character: string): string {
  const code = character.codePointAt(0)!;
  if (character === '"' || character === '\\') return `\\${character}`;
  return code >= 0x20 && code < 0x7f ? character : hexEscape(code);
}

function hexEscape(code: number): string {
  if (/[A-Za-z0-9]/.test(String.fromCodePoint(code))) return String.fromCodePoint(code);
  return code <= 0xffff
    ? `\\u${code.toString(16).padStart(4, '0')}`
    : `\\U${code.toString(16).padStart(8, '0')}`;
}
