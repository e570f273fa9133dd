/**
 * Numbers of a range as EBNF. Integers are exact: the digits of both ends, position by position. Fractions stand
 * between the whole numbers inside the range, and at its ends where these are whole.
 */
import { anyOf, literal } from './ebnf.ts';

/** Digits of an unbounded integer: all of them are exact in JSON's usual doubles. */
const digitsMax = 15;
const integerMax = 10 ** digitsMax - 1;
/** Narrow ranges are listed with so many decimals at most, and so many numbers. */
const decimalsMax = 4;
const listedMax = 1000;

const fraction = `("." [0-9]{1,${digitsMax}})?`;
const exponent = '([eE] [+\\-]? [0-9]{1,2})?';

export const anyInteger = `"-"? ("0" | [1-9] [0-9]{0,${digitsMax - 1}})`;
export const anyNumber = `${anyInteger} ${fraction} ${exponent}`;

export interface Bounds {
  /** Infinity where there is none. */
  readonly min: number;
  readonly max: number;
  readonly minExcluded: boolean;
  readonly maxExcluded: boolean;
}

/** null for a range without an integer of at most 15 digits. */
export function integersWithin({ min, max, minExcluded, maxExcluded }: Bounds): string | null {
  const low = minExcluded && Number.isInteger(min) ? min + 1 : Math.ceil(min);
  const high = maxExcluded && Number.isInteger(max) ? max - 1 : Math.floor(max);
  return integers(Math.max(low, -integerMax), Math.min(high, integerMax), '');
}

/** null for a range that holds no number which this can spell. */
export function numbersWithin(bounds: Bounds): string | null {
  const { min, max, minExcluded, maxExcluded } = bounds;
  const low = Math.max(min, -integerMax);
  const high = Math.min(max, integerMax);
  // n with a fraction lies in [n, n + 1); below zero -n with one in (-n - 1, -n].
  const upFrom = Math.max(0, minExcluded ? Math.floor(low) + 1 : Math.ceil(low));
  const above = integers(upFrom, Math.floor(high) - 1, ` ${fraction}`);
  const downTo = Math.max(0, maxExcluded ? Math.floor(-high) + 1 : Math.ceil(-high));
  const below = magnitudes(downTo, Math.floor(-low) - 1);
  const parts = [above, below === null ? null : `"-" ${anyOf(below)} ${fraction}`, integersWithin(bounds)];
  const said = parts.filter((part) => part !== null);
  if (above !== null || below !== null) return anyOf(said);
  return listed(bounds) ?? (said.length > 0 ? anyOf(said) : null);
}

/** All numbers of the range with the fewest decimals that give any beside whole ones. */
function listed({ min, max, minExcluded, maxExcluded }: Bounds): string | null {
  for (let decimals = 1; decimals <= decimalsMax; decimals++) {
    const scale = 10 ** decimals;
    const numbers: string[] = [];
    for (let n = Math.ceil(min * scale); n / scale <= max && numbers.length <= listedMax; n++) {
      const value = n / scale;
      if (value < min || (minExcluded && value === min) || (maxExcluded && value === max)) continue;
      numbers.push(literal(JSON.stringify(value)));
    }
    if (numbers.length > listedMax) return null;
    if (numbers.length > 1 || (numbers.length === 1 && decimals === decimalsMax)) return anyOf(numbers);
  }
  return null;
}

function integers(low: number, high: number, suffix: string): string | null {
  if (low > high) return null;
  const parts = (magnitudes(Math.max(0, low), high) ?? []).map((part) => part + suffix);
  const negative = low < 0 ? magnitudes(Math.max(1, -high), -low) : null;
  if (negative !== null) parts.unshift(...negative.map((part) => `"-" ${part}${suffix}`));
  return parts.length === 0 ? null : anyOf(parts);
}

/** Whole numbers from low to high, both at least 0; null if there are none. */
function magnitudes(low: number, high: number): string[] | null {
  if (low > high) return null;
  const parts: string[] = [];
  for (let digits = String(low).length; digits <= String(high).length; digits++) {
    const from = Math.max(low, digits === 1 ? 0 : 10 ** (digits - 1));
    const to = Math.min(high, 10 ** digits - 1);
    parts.push(sameLength(String(from), String(to)));
  }
  return parts;
}

/** Digit strings of one length from `from` to `to`. */
function sameLength(from: string, to: string): string {
  if (from === to) return literal(from);
  const [low, high] = [Number(from[0]), Number(to[0])];
  const [lowRest, highRest] = [from.slice(1), to.slice(1)];
  if (lowRest === '') return digit(low, high);
  if (low === high) return `${literal(from[0]!)} ${sameLength(lowRest, highRest)}`;
  const anyRest = `[0-9]{${lowRest.length}}`;
  const lowOpen = /^0+$/.test(lowRest);
  const highOpen = /^9+$/.test(highRest);
  const parts: string[] = [];
  if (!lowOpen) parts.push(`${literal(from[0]!)} ${sameLength(lowRest, '9'.repeat(lowRest.length))}`);
  const [first, last] = [lowOpen ? low : low + 1, highOpen ? high : high - 1];
  if (first <= last) parts.push(`${digit(first, last)} ${anyRest}`);
  if (!highOpen) parts.push(`${literal(to[0]!)} ${sameLength('0'.repeat(highRest.length), highRest)}`);
  return anyOf(parts);
}

function digit(from: number, to: number): string {
  return from === to ? `"${from}"` : `[${from}-${to}]`;
}
