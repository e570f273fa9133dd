/**
 * A regular expression (ECMA-262, flag u) as a grammar of the texts that match it whole; those match it anywhere, too.
 * What a grammar cannot say (look-around, back references, \b, anchors inside, properties) is refused by name.
 */
import { classSets, complement, dotSet, union } from './code-points.ts';
import { anyOf, type CodePoints, type EbnfWriter } from './ebnf.ts';

/** A pattern that cannot be served. */
export class PatternError extends Error {}

/** Longest pattern; real ones have tens of characters. */
const patternCharsMax = 2048;
/** Groups inside of one another. */
const depthMax = 32;
/** Counted repetition, one rule a count. */
const repeatMax = 256;

/** How one character of a set is spelled; null where it cannot be. */
export type Spelling = (set: CodePoints) => string | null;

/** The rule for a pattern. Throws PatternError and GrammarTooLarge. */
export function regexRule(pattern: string, writer: EbnfWriter, spelling: Spelling): string {
  if (pattern.length > patternCharsMax) {
    throw new PatternError(`a pattern has at most ${patternCharsMax} characters`);
  }
  try {
    new RegExp(pattern, 'u');
  } catch (cause) {
    throw new PatternError(cause instanceof Error ? cause.message : String(cause), { cause });
  }
  return new PatternReader(pattern, writer, spelling).read();
}

/** Reads a pattern that is known to be valid. */
class PatternReader {
  readonly #pattern: string;
  readonly #writer: EbnfWriter;
  readonly #spelling: Spelling;
  #at = 0;
  #depth = 0;

  constructor(pattern: string, writer: EbnfWriter, spelling: Spelling) {
    this.#pattern = pattern;
    this.#writer = writer;
    this.#spelling = spelling;
  }

  read(): string {
    return this.#writer.rule(this.#alternatives());
  }

  #alternatives(): string {
    const parts = [this.#sequence()];
    while (this.#take('|')) parts.push(this.#sequence());
    return anyOf(parts);
  }

  #sequence(): string {
    const parts: string[] = [];
    const outermost = this.#depth === 0;
    if (outermost) this.#take('^');
    while (this.#at < this.#pattern.length && !/[|)]/.test(this.#peek())) {
      if (this.#peek() === '$' && outermost && /^(\||$)/.test(this.#pattern.slice(this.#at + 1))) {
        this.#at += 1;
        break;
      }
      parts.push(this.#repeated(this.#atom()));
    }
    const said = parts.filter((part) => part !== '');
    return said.length === 0 ? '""' : said.join(' ');
  }

  #repeated(atom: string): string {
    const [min, max] = this.#quantifier();
    if (min === 1 && max === 1) return atom;
    if (Math.max(min, max ?? 0) > repeatMax)
      throw new PatternError(`it repeats more than ${repeatMax} times`);
    return this.#writer.repeat(this.#writer.rule(atom), min, max);
  }

  #quantifier(): readonly [number, number | null] {
    const match = /^(?:[*+?]|\{(\d+)(,?)(\d*)\})\??/.exec(this.#pattern.slice(this.#at));
    if (match === null) return [1, 1];
    this.#at += match[0].length;
    const [text, min, comma, max] = match;
    if (text[0] === '*') return [0, null];
    if (text[0] === '+') return [1, null];
    if (text[0] === '?') return [0, 1];
    return [Number(min), comma === '' ? Number(min) : max === '' ? null : Number(max)];
  }

  #atom(): string {
    const character = this.#next();
    if (character === '(') return this.#group();
    if (character === '[') return this.#spell(this.#set());
    if (character === '.') return this.#spell(dotSet);
    if (character === '\\') return this.#spell(this.#escape(false));
    if (character === '^' || character === '$') throw new PatternError(`"${character}" inside of it`);
    return this.#spell(single(character.codePointAt(0)!));
  }

  #group(): string {
    const opening = /^\?(?::|<[^=!>][^>]*>)/.exec(this.#pattern.slice(this.#at));
    if (opening !== null) this.#at += opening[0].length;
    else if (this.#peek() === '?') throw new PatternError('look-around and flags inside of it');
    if (++this.#depth > depthMax) throw new PatternError(`groups more than ${depthMax} deep`);
    const body = this.#alternatives();
    this.#depth -= 1;
    this.#at += 1; // )
    return this.#writer.rule(body);
  }

  #set(): CodePoints {
    const negated = this.#take('^');
    const sets: CodePoints[] = [];
    while (!this.#take(']')) {
      const from = this.#member();
      const isRange = this.#peek() === '-' && this.#pattern[this.#at + 1] !== ']';
      if (!isRange) sets.push(from);
      else {
        this.#at += 1;
        sets.push([[from[0]![0], this.#member()[0]![1]]]);
      }
    }
    return negated ? complement(union(...sets)) : union(...sets);
  }

  #member(): CodePoints {
    const character = this.#next();
    return character === '\\' ? this.#escape(true) : single(character.codePointAt(0)!);
  }

  #escape(inSet: boolean): CodePoints {
    const rest = this.#pattern.slice(this.#at);
    const named = /^(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]+)\}|c([A-Za-z]))/.exec(rest);
    if (named !== null) {
      this.#at += named[0].length;
      const [, x, u, braced, control] = named;
      if (control !== undefined) return single(control.charCodeAt(0) & 31);
      return single(Number.parseInt((x ?? u ?? braced)!, 16));
    }
    const character = this.#next();
    const lower = classSets[character.toLowerCase()];
    if (lower !== undefined) return character === character.toLowerCase() ? lower : complement(lower);
    const control = { t: 9, n: 10, v: 11, f: 12, r: 13, 0: 0, ...(inSet && { b: 8 }) }[character];
    if (control !== undefined) return single(control);
    if (/[A-Za-z1-9]/.test(character)) throw new PatternError(`"\\${character}"`);
    return single(character.codePointAt(0)!);
  }

  #spell(set: CodePoints): string {
    const spelled = this.#spelling(set);
    if (spelled === null) throw new PatternError('a character that is never said');
    return spelled;
  }

  #peek(): string {
    return this.#pattern[this.#at] ?? '';
  }

  #next(): string {
    const character = String.fromCodePoint(this.#pattern.codePointAt(this.#at)!);
    this.#at += character.length;
    return character;
  }

  #take(character: string): boolean {
    if (this.#peek() !== character) return false;
    this.#at += 1;
    return true;
  }
}

function single(code: number): CodePoints {
  return [[code, code]];
}
