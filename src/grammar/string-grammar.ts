/** `"type": "string"`: pattern, format or length, one of them. */
import { inJsonString } from './code-points.ts';
import { stringOf } from './json-rules.ts';
import { ending, type Production, type SchemaContext } from './production.ts';
import { PatternError, regexRule } from './regex-grammar.ts';
import { pointerTo, SchemaError } from './schema-error.ts';
import { countOf, type SchemaObject } from './schema-node.ts';

interface Format {
  readonly pattern: string;
  readonly lengthMin: number;
  readonly lengthMax: number;
}

const date = '\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|1\\d|2[0-8])';
const time = '([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,6})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)';
const octet = '(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
const label = '[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?';

/** Those of OpenAI's structured outputs, each a part of what RFC 3339, 4122, … allow; others are annotations. */
const formats: Readonly<Record<string, Format>> = {
  date: { pattern: date, lengthMin: 10, lengthMax: 10 },
  time: { pattern: time, lengthMin: 9, lengthMax: 21 },
  'date-time': { pattern: `${date}T${time}`, lengthMin: 20, lengthMax: 32 },
  duration: {
    pattern: 'P(\\d{1,4}D(T\\d{1,4}[HMS])?|T\\d{1,4}[HMS]|\\d{1,4}[WMY])',
    lengthMin: 3,
    lengthMax: 12,
  },
  email: {
    pattern: `[a-z0-9]([a-z0-9._+-]{0,30}[a-z0-9])?@(${label}\\.){1,2}[a-z]{2,8}`,
    lengthMin: 6,
    lengthMax: 107,
  },
  hostname: { pattern: `(${label}\\.){0,3}${label}`, lengthMin: 1, lengthMax: 131 },
  ipv4: { pattern: `${octet}(\\.${octet}){3}`, lengthMin: 7, lengthMax: 15 },
  ipv6: { pattern: '[0-9a-f]{1,4}(:[0-9a-f]{1,4}){7}', lengthMin: 15, lengthMax: 39 },
  uuid: {
    pattern: '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}',
    lengthMin: 36,
    lengthMax: 36,
  },
};

/**
 * Lengths that are counted, one rule a character: 1,024 of them take 24 of the 64 KB that a grammar may have, shared by
 * all strings of a schema, and compile in 60 ms. What they cost is paid token by token: a mask inside of a counted string
 * takes 18 ms with 49,152 tokens, beside the pass.
 */
const lengthLimit = 1024;

/** Throws SchemaError and GrammarTooLarge. */
export function stringProduction(
  schema: SchemaObject,
  pointer: string,
  { writer }: SchemaContext,
): Production {
  const min = countOf(schema, 'minLength', pointer, 0);
  const max = countOf(schema, 'maxLength', pointer, null);
  if (max !== null && min > max) throw new SchemaError(pointerTo(pointer, 'minLength'), 'above maxLength');
  if (Math.max(min, max ?? 0) > lengthLimit) {
    const keyword = min > lengthLimit ? 'minLength' : 'maxLength';
    throw new SchemaError(
      pointerTo(pointer, keyword),
      `lengths above ${lengthLimit} are not counted; leave it out`,
    );
  }
  const { pattern, format } = schema;
  const known = typeof format === 'string' && Object.hasOwn(formats, format) ? formats[format]! : null;
  if (pattern === undefined && known !== null) {
    if (min > known.lengthMin || (max !== null && max < known.lengthMax)) {
      throw new SchemaError(pointerTo(pointer, 'format'), `"${format}" with this length is not supported`);
    }
    return ending(quotedPattern(known.pattern, writer));
  }
  if (pattern === undefined) return ending(stringOf(writer, min, max));
  if (typeof pattern !== 'string')
    throw new SchemaError(pointerTo(pointer, 'pattern'), 'a string was expected');
  if (known !== null) throw new SchemaError(pointerTo(pointer, 'format'), 'not supported beside a pattern');
  if (min > 0 || max !== null) {
    const keyword = min > 0 ? 'minLength' : 'maxLength';
    throw new SchemaError(
      pointerTo(pointer, keyword),
      'not supported beside a pattern; say the length in the pattern',
    );
  }
  try {
    return ending(quotedPattern(pattern, writer));
  } catch (cause) {
    if (!(cause instanceof PatternError)) throw cause;
    throw new SchemaError(pointerTo(pointer, 'pattern'), `the pattern is not supported: ${cause.message}`, {
      cause,
    });
  }
}

function quotedPattern(pattern: string, writer: SchemaContext['writer']): string {
  return `"\\"" ${regexRule(pattern, writer, inJsonString)} "\\""`;
}
