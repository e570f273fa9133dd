/**
 * Tools and text formats of the Responses API → the same as a chat sends them, so that one grammar serves both. Pure.
 * Shapes differ only in nesting; names in errors are turned back by `responseParam`.
 */
import { type Static, Type } from 'typebox';
import { GatewayError } from '../src/errors.ts';
import { type FormatBody, formatFields } from './format-fields.ts';
import { optional } from './sampling-fields.ts';
import { type ToolBody, toolFields } from './tool-fields.ts';

const Name = Type.String({ pattern: '^[a-zA-Z0-9_-]{1,64}$' });
const NamedTool = Type.Object({ type: Type.Literal('function'), name: Name });
/** OpenAI's bound; the prompt's length is the real one. */
const toolsMax = 128;

const Tool = Type.Object(
  {
    type: Type.String({ description: 'Only `function`.' }),
    name: Type.Optional(Name),
    description: optional(Type.String(), 'Shown to the model.'),
    parameters: optional(Type.Record(Type.String(), Type.Unknown()), 'JSON Schema of the arguments.'),
    strict: optional(Type.Boolean(), 'Arguments follow the schema, or the request is refused.'),
  },
  { title: 'ResponseTool', description: 'A function that the model may call.' },
);

export const responseToolFields = {
  tools: optional(Type.Array(Tool, { maxItems: toolsMax }), 'Functions that the model may call.'),
  tool_choice: optional(
    Type.Union([
      Type.Enum(['none', 'auto', 'required']),
      NamedTool,
      Type.Object(
        {
          type: Type.Literal('allowed_tools'),
          mode: Type.Enum(['auto', 'required']),
          tools: Type.Array(NamedTool, { minItems: 1, maxItems: toolsMax }),
        },
        { title: 'AllowedTools', description: 'The functions among which to choose.' },
      ),
    ]),
    'Default auto. `required` and a named function force a call.',
  ),
  parallel_tool_calls: toolFields.parallel_tool_calls,
};

const ToolsBody = Type.Object(responseToolFields);
type ToolsBody = Static<typeof ToolsBody>;

export const TextFormat = Type.Object(
  {
    type: Type.Enum(['text', 'json_object', 'json_schema']),
    name: Type.Optional(Name),
    description: optional(Type.String(), 'For the reader; not shown to the model.'),
    schema: optional(Type.Record(Type.String(), Type.Unknown()), 'Of json_schema.'),
    strict: optional(Type.Boolean(), 'The answer follows the schema either way.'),
  },
  { title: 'TextFormat', description: 'The form of a text.' },
);

export const structuredOutputs = formatFields.structured_outputs;

/** Throws invalid_request for a schema that is not there, or has no name. */
export function chatFormat(format: Static<typeof TextFormat> | null): FormatBody['response_format'] & {} {
  if (format === null || format.type === 'text') return { type: 'text' };
  if (format.type === 'json_object') return { type: 'json_object' };
  const { name, schema } = format;
  if (name !== undefined && schema != null) return { type: 'json_schema', json_schema: { name, schema } };
  const param = name === undefined ? 'text.format.name' : 'text.format.schema';
  throw new GatewayError('invalid_request', `'${param}' is missing.`, { param });
}

/** Throws unsupported_parameter for tools that run on a server. */
export function chatTools({ tools, tool_choice, parallel_tool_calls }: ToolsBody): ToolBody {
  return {
    tools: (tools ?? []).map(({ type, name, ...described }, index) => {
      if (type === 'function' && name !== undefined) return { type, function: { name, ...described } };
      const path = type === 'function' ? `tools[${index}].name` : `tools[${index}].type`;
      throw new GatewayError(
        type === 'function' ? 'invalid_request' : 'unsupported_parameter',
        type === 'function'
          ? `'${path}' is missing.`
          : `Tools of the type '${type.slice(0, 40)}' are not supported.`,
        { param: path },
      );
    }),
    tool_choice: chatToolChoice(tool_choice ?? null),
    parallel_tool_calls: parallel_tool_calls ?? null,
  };
}

function chatToolChoice(choice: NonNullable<ToolsBody['tool_choice']> | null) {
  if (choice === null || typeof choice === 'string') return choice;
  const named = ({ name }: Static<typeof NamedTool>) => ({ type: 'function' as const, function: { name } });
  if (choice.type === 'function') return named(choice);
  const { mode, tools } = choice;
  return { type: 'allowed_tools' as const, allowed_tools: { mode, tools: tools.map(named) } };
}

/** As the response repeats them: every key there. */
export function toldTools({ tools }: ToolsBody): readonly unknown[] {
  return (tools ?? []).map(({ type, name, description, parameters, strict }) => ({
    ...{ type, name },
    description: description ?? null,
    parameters: parameters ?? null,
    strict: strict ?? null,
  }));
}

/** What a client calls things here, of what they are called in a chat. */
const names: readonly (readonly [RegExp, string])[] = [
  [/^messages(\[\d+\].*)?$/, 'input'],
  [/^max(_completion)?_tokens$/, 'max_output_tokens'],
  [/^response_format\.json_schema\b/, 'text.format'],
  [/^response_format\b/, 'text.format'],
  [/^(tools\[\d+\])\.function\b/, '$1'],
];

export function responseParam(param: string): string {
  const found = names.find(([pattern]) => pattern.test(param));
  return found === undefined ? param : param.replace(...found);
}
