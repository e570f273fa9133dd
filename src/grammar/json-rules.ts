/**
 * JSON itself as rules. Between tokens of JSON stands either nothing but one space after `,` and `:` (answers to a
 * schema: nearly all of their structure is forced, and drafted for free) or a little white space of the model's choice.
 */
import { inJsonString } from './code-points.ts';
import type { CodePoints, EbnfWriter } from './ebnf.ts';
import { anyNumber } from './number-grammar.ts';

/** Pretty-printed JSON of eight levels; without a limit a model may indent for ever. */
const indentMax = 16;

const stringSet: CodePoints = [
  [0x20, 0xd7ff],
  [0xe000, 0x10ffff],
];

/** One character of a string, as long as one code point after parsing: no lone surrogates, no pairs of escapes. */
function stringCharacter(writer: EbnfWriter): string {
  const hex = '[0-9a-fA-F]';
  const unicode = `"\\\\u" ([0-9a-cA-CefEF] ${hex} ${hex} ${hex} | [dD] [0-7] ${hex} ${hex})`;
  return writer.rule(`${inJsonString(stringSet)} | "\\\\" [bfnrt/] | ${unicode}`);
}

/**
 * A string of `min` to `max` characters; null for any number. The closing quote stands inside of the recursion: only so
 * does XGrammar know the masks of a string beforehand (else 50 ms a mask).
 */
export function stringOf(writer: EbnfWriter, min: number, max: number | null): string {
  const character = stringCharacter(writer);
  let tail: string;
  if (max === null) tail = writer.recursive((self) => `"\\"" | ${character} ${self}`);
  else {
    tail = writer.rule('"\\""');
    for (let n = min; n < max; n++) tail = writer.rule(`"\\"" | ${character} ${tail}`);
  }
  return writer.rule(['"\\""', ...Array<string>(min).fill(character), tail].join(' '));
}

/** Any string. */
export function stringRule(writer: EbnfWriter): string {
  return stringOf(writer, 0, null);
}

export interface JsonRules {
  readonly value: string;
  readonly object: string;
}

/** Any value, and any object. */
export function jsonRules(writer: EbnfWriter, spacing: 'fixed' | 'free'): JsonRules {
  const space = spacing === 'fixed' ? '' : writer.rule(`"" | " " | "\\n" [ ]{0,${indentMax}}`);
  const [comma, colon] =
    spacing === 'fixed' ? ['", "', '": "'] : [`${space} "," ${space}`, `${space} ":" ${space}`];
  const value = writer.reserve();
  const object = writer.reserve();
  const array = writer.reserve();
  const string = stringRule(writer);
  const number = writer.rule(anyNumber);
  const member = writer.rule(`${string} ${colon} ${value}`);
  writer.define(object, `"{" ${space} (${member} (${comma} ${member})*)? ${space} "}"`);
  writer.define(array, `"[" ${space} (${value} (${comma} ${value})*)? ${space} "]"`);
  writer.define(value, `${string} | ${number} | ${object} | ${array} | "true" | "false" | "null"`);
  return { value, object };
}

/** A fixed value, spelled as answers to a schema spell it. */
export function jsonText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(jsonText).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).map(
    ([name, member]) => `${JSON.stringify(name)}: ${jsonText(member)}`,
  );
  return `{${members.join(', ')}}`;
}
