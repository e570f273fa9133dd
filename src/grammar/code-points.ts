/**
 * Sets of code points as ascending inclusive ranges, and how one character of a set is spelled in a grammar, plain or
 * inside of a JSON string. XGrammar's classes are right for ASCII alone and for "anything but these of ASCII" (0.1.27:
 * [\u0800-\uffff] accepts "a" and not "日"); so other characters are listed, and where they are too many, a few stand
 * for them: a spelling may say less than its set, never more.
 */
import { anyOf, type CodePoints, literal, noneOfAscii, oneOfAscii } from './ebnf.ts';

/** All that UTF-8 can spell. */
const everyCodePoint: CodePoints = [
  [0, 0xd7ff],
  [0xe000, 0x10ffff],
];

const lineEnds: CodePoints = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
];

/** The classes of regular expressions, as ECMA-262 has them. */
export const classSets: Readonly<Record<string, CodePoints>> = {
  d: [[0x30, 0x39]],
  w: [
    [0x30, 0x39],
    [0x41, 0x5a],
    [0x5f, 0x5f],
    [0x61, 0x7a],
  ],
  s: [
    [0x09, 0x0d],
    [0x20, 0x20],
    [0xa0, 0xa0],
    [0x1680, 0x1680],
    [0x2000, 0x200a],
    [0x2028, 0x2029],
    [0x202f, 0x202f],
    [0x205f, 0x205f],
    [0x3000, 0x3000],
    [0xfeff, 0xfeff],
  ],
};

export const dotSet = complement(lineEnds);

export function union(...sets: readonly CodePoints[]): CodePoints {
  const merged: [number, number][] = [];
  for (const [from, to] of sets.flat().sort(([a], [b]) => a - b)) {
    const last = merged.at(-1);
    if (last !== undefined && from <= last[1] + 1) last[1] = Math.max(last[1], to);
    else merged.push([from, to]);
  }
  return merged;
}

export function complement(set: CodePoints): CodePoints {
  const rest: [number, number][] = [];
  for (const [from, to] of everyCodePoint) {
    let next = from;
    for (const [start, end] of union(set)) {
      if (end < next || start > to) continue;
      if (start > next) rest.push([next, start - 1]);
      next = end + 1;
    }
    if (next <= to) rest.push([next, to]);
  }
  return rest;
}

function intersection(a: CodePoints, b: CodePoints): CodePoints {
  return complement(union(complement(a), complement(b)));
}

const ascii: CodePoints = [[0, 0x7f]];
const beyondAscii = complement(ascii);

/** Characters beyond ASCII that are listed one by one. */
const listedMax = 512;
/** What larger sets are narrowed to: letters of Latin scripts, and the signs of typeset text. */
const common: CodePoints = [
  [0xa1, 0x17f],
  [0x2013, 0x2014],
  [0x2018, 0x201d],
  [0x2022, 0x2022],
  [0x2026, 0x2026],
  [0x20ac, 0x20ac],
];

const needsEscape: CodePoints = [
  [0x00, 0x1f],
  [0x22, 0x22],
  [0x5c, 0x5c],
];

/** Members that JSON writes with two characters; other control characters are never said. */
const shortEscapes = '"\\\b\f\n\r\t';

/** One character of the set as JSON spells it in a string, or null if JSON spells none of it here. */
export function inJsonString(set: CodePoints): string | null {
  const escaped = [...shortEscapes].filter((character) => has(set, character.charCodeAt(0)));
  const parts = escaped.map((character) => literal(JSON.stringify(character).slice(1, -1)));
  const plain = asPlainText(intersection(set, complement(needsEscape)));
  if (plain !== null) parts.unshift(plain);
  return parts.length === 0 ? null : anyOf(parts);
}

/** One character of the set as it is, or null if there is none. */
export function asPlainText(set: CodePoints): string | null {
  const low = intersection(set, ascii);
  const high = intersection(set, beyondAscii);
  if (countOf(high) === countOf(beyondAscii)) return noneOfAscii(intersection(ascii, complement(low)));
  const listed = countOf(high) <= listedMax ? high : intersection(high, common);
  const parts = spellable(membersOf(listed)).map((code) => literal(String.fromCodePoint(code)));
  if (low.length > 0) parts.unshift(oneOfAscii(low));
  return parts.length === 0 ? null : anyOf(parts);
}

/**
 * XGrammar joins alternatives of one character into a class, and its classes go wrong from three bytes a character on
 * (a choice of spaces from U+1680 up accepts U+16A8). One such character alone stays a string and is right.
 */
function spellable(codes: readonly number[]): readonly number[] {
  const short = codes.filter((code) => code < 0x800);
  return short.length > 0 ? short : codes.slice(0, 1);
}

function countOf(set: CodePoints): number {
  return set.reduce((sum, [from, to]) => sum + to - from + 1, 0);
}

function membersOf(set: CodePoints): number[] {
  return set.flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, i) => from + i));
}

function has(set: CodePoints, code: number): boolean {
  return set.some(([from, to]) => from <= code && code <= to);
}
