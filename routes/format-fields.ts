/**
 * Request fields that say what an answer must look like: `response_format` as at OpenAI, and vLLM's
 * `structured_outputs`. Read into a grammar here; what no grammar can promise is refused with the field's name.
 */
import { type Static, Type } from 'typebox';
import { GatewayError } from '../src/errors.ts';
import { type AnswerFormat, FormatError } from '../src/grammar/answer-grammar.ts';
import { optional } from './sampling-fields.ts';

const choicesMax = 1000;
const textCharsMax = 64 * 1024;

const JsonSchemaFormat = Type.Object({
  name: Type.String({ pattern: '^[a-zA-Z0-9_-]{1,64}$' }),
  description: optional(Type.String(), 'For the reader; not shown to the model.'),
  schema: optional(Type.Record(Type.String(), Type.Unknown()), 'JSON Schema. Left out: any JSON object.'),
  strict: optional(Type.Boolean(), 'The answer follows the schema either way.'),
});

const StructuredOutputs = Type.Object(
  {
    json: optional(
      Type.Union([Type.String({ maxLength: textCharsMax }), Type.Record(Type.String(), Type.Unknown())]),
      'A JSON Schema, or its text.',
    ),
    json_object: optional(Type.Boolean(), 'Any JSON object.'),
    regex: optional(Type.String({ maxLength: textCharsMax }), 'The whole answer matches.'),
    choice: optional(
      Type.Array(Type.String({ minLength: 1, maxLength: textCharsMax }), {
        minItems: 1,
        maxItems: choicesMax,
      }),
      'The answer is one of these.',
    ),
    grammar: optional(Type.String({ maxLength: textCharsMax }), "XGrammar's EBNF with the rule `root`."),
  },
  {
    additionalProperties: false,
    title: 'StructuredOutputs',
    description: 'What the answer must look like, as vLLM takes it.',
  },
);

export const formatFields = {
  response_format: optional(
    Type.Union([
      Type.Object({ type: Type.Literal('text') }),
      Type.Object({ type: Type.Literal('json_object') }),
      Type.Object({ type: Type.Literal('json_schema'), json_schema: JsonSchemaFormat }),
    ]),
    'What the answer must look like. Default text.',
  ),
  structured_outputs: optional(StructuredOutputs, 'Extension: exactly one of its fields.'),
};

const FormatBody = Type.Object(formatFields);
export type FormatBody = Static<typeof FormatBody>;

export interface WantedFormat {
  readonly format: AnswerFormat;
  readonly param: string;
}

/** null for plain text. Throws invalid_request. */
export function readFormat({ response_format, structured_outputs }: FormatBody): WantedFormat | null {
  const wanted = structured_outputs == null ? null : readStructured(structured_outputs);
  if (response_format == null || response_format.type === 'text') return wanted;
  if (wanted !== null) {
    throw new GatewayError('invalid_request', "Send 'response_format' or 'structured_outputs', not both.", {
      param: 'structured_outputs',
    });
  }
  if (response_format.type === 'json_object')
    return { format: { kind: 'json_object' }, param: 'response_format' };
  const { schema } = response_format.json_schema;
  return schema == null
    ? { format: { kind: 'json_object' }, param: 'response_format' }
    : { format: { kind: 'json_schema', schema }, param: 'response_format.json_schema.schema' };
}

function readStructured(body: Static<typeof StructuredOutputs>): WantedFormat | null {
  const given = Object.entries(body).filter(([, value]) => value != null && value !== false);
  if (given.length > 1) {
    throw new GatewayError('invalid_request', "'structured_outputs' takes exactly one of its fields.", {
      param: 'structured_outputs',
    });
  }
  const [entry] = given;
  if (entry === undefined) return null;
  const param = `structured_outputs.${entry[0]}`;
  if (body.regex != null) return { param, format: { kind: 'regex', pattern: body.regex } };
  if (body.choice != null) return { param, format: { kind: 'choice', choices: body.choice } };
  if (body.grammar != null) return { param, format: { kind: 'ebnf', text: body.grammar } };
  if (body.json != null) return { param, format: { kind: 'json_schema', schema: parsed(body.json, param) } };
  return { param, format: { kind: 'json_object' } };
}

function parsed(schema: unknown, param: string): unknown {
  if (typeof schema !== 'string') return schema;
  try {
    return JSON.parse(schema);
  } catch (cause) {
    throw new GatewayError('invalid_request', `'${param}' is not JSON.`, { param, cause });
  }
}

/** Runs `make`; what it refuses is the fault of `param`. */
export function blaming<T>(param: string, make: () => T): T {
  try {
    return make();
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new GatewayError('invalid_request', `'${param}' cannot be served: ${cause.message}.`, {
      param,
      cause,
    });
  }
}
