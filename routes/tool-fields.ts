/**
 * Tools in a chat request: which functions there are, whether one must or may be called, and the grammar that makes
 * every call well-formed. Strict functions get arguments by their schema or are refused; for others a schema that no
 * grammar can promise falls back to any JSON object.
 */
import { type Static, Type } from 'typebox';
import { GatewayError } from '../src/errors.ts';
import { type AnswerFormat, FormatError, formatGrammar, toolGrammar } from '../src/grammar/answer-grammar.ts';
import type { AnswerGrammar } from '../src/tail-request.ts';
import type { CallForm } from '../src/text/call-form.ts';
import type { DescribedTool } from '../src/text/tool-messages.ts';
import { blaming, type WantedFormat } from './format-fields.ts';
import { optional } from './sampling-fields.ts';

/** OpenAI's bound; the prompt's length is the real one. */
const toolsMax = 128;

const FunctionName = Type.String({ pattern: '^[a-zA-Z0-9_-]{1,64}$' });

const Tool = Type.Object(
  {
    type: Type.String({ description: 'Only `function`.' }),
    function: Type.Optional(
      Type.Object({
        name: FunctionName,
        description: optional(Type.String(), 'Shown to the model.'),
        parameters: optional(Type.Record(Type.String(), Type.Unknown()), 'JSON Schema of the arguments.'),
        strict: optional(Type.Boolean(), 'Arguments follow the schema, or the request is refused.'),
      }),
    ),
  },
  { title: 'ChatTool', description: 'A function that the model may call.' },
);

const NamedTool = Type.Object({
  type: Type.Literal('function'),
  function: Type.Object({ name: FunctionName }),
});

export const toolFields = {
  tools: optional(Type.Array(Tool, { maxItems: toolsMax }), 'Functions that the model may call.'),
  tool_choice: optional(
    Type.Union([
      Type.Enum(['none', 'auto', 'required']),
      NamedTool,
      Type.Object({
        type: Type.Literal('allowed_tools'),
        allowed_tools: Type.Object({
          mode: Type.Enum(['auto', 'required']),
          tools: Type.Array(NamedTool, { minItems: 1, maxItems: toolsMax }),
        }),
      }),
    ]),
    'Default auto. `required` and a named function force a call.',
  ),
  parallel_tool_calls: optional(Type.Boolean(), 'May an answer hold several calls? Default true.'),
};

const ToolBody = Type.Object(toolFields);
export type ToolBody = Static<typeof ToolBody>;

export interface WantedTools {
  /** What the prompt lists; empty without tools. */
  readonly described: readonly DescribedTool[];
  readonly required: boolean;
  /** Is the answer read for calls? */
  readonly callable: boolean;
  /** Of the whole answer, text included. */
  readonly grammar: AnswerGrammar | null;
}

interface Choice {
  readonly mode: 'none' | 'auto' | 'required';
  /** null: all. */
  readonly names: readonly string[] | null;
}

/** `wanted`: what text must look like. Throws invalid_request, unsupported_parameter. */
export function readTools(body: ToolBody, wanted: WantedFormat | null, form: CallForm): WantedTools {
  const tools = (body.tools ?? []).map(readTool);
  const { mode, names } = readChoice(body, tools);
  const described = tools.map(({ name, description, parameters }) => ({ name, description, parameters }));
  if (tools.length === 0 || mode === 'none') {
    const grammar = wanted === null ? null : grammarOf(wanted);
    return { described: mode === 'none' ? [] : described, required: false, callable: false, grammar };
  }
  const callable = tools
    .filter(({ name }) => names === null || names.includes(name))
    .map(({ name, promised }) => ({ name, parameters: promised }));
  const required = mode === 'required';
  const answer = {
    form,
    textAllowed: !required,
    parallel: body.parallel_tool_calls !== false && !isNamed(body.tool_choice),
    format: required ? null : textFormat(wanted),
  };
  const ebnf = blaming('tools', () => toolGrammar({ ...answer, tools: callable }));
  return { described, required, callable: true, grammar: { ebnf, param: 'tools' } };
}

function grammarOf({ format, param }: WantedFormat): AnswerGrammar {
  return { ebnf: blaming(param, () => formatGrammar(format)), param };
}

function textFormat(wanted: WantedFormat | null): Exclude<AnswerFormat, { kind: 'ebnf' }> | null {
  if (wanted === null) return null;
  const { format, param } = wanted;
  if (format.kind !== 'ebnf') return format;
  throw new GatewayError('unsupported_parameter', `'${param}' is not supported beside 'tools'.`, { param });
}

interface ToolRequest extends DescribedTool {
  /** The schema that arguments will follow; null: any object. */
  readonly promised: unknown;
}

function readTool({ type, function: described }: Static<typeof Tool>, index: number): ToolRequest {
  const path = `tools[${index}]`;
  if (type !== 'function') {
    throw new GatewayError(
      'unsupported_parameter',
      `Tools of the type '${type.slice(0, 40)}' are not supported.`,
      {
        param: `${path}.type`,
      },
    );
  }
  if (described === undefined) {
    throw new GatewayError('invalid_request', `'${path}.function' is missing.`, {
      param: `${path}.function`,
    });
  }
  const { name, description = null, parameters = null, strict } = described;
  const promised = promisedSchema(parameters, strict === true, `${path}.function.parameters`);
  return { name, description, parameters, promised };
}

/** A function without parameters takes none. */
function promisedSchema(parameters: Record<string, unknown> | null, strict: boolean, param: string): unknown {
  if (parameters === null) return { type: 'object', properties: {}, additionalProperties: false };
  try {
    if (parameters['type'] !== 'object') throw new FormatError('#/type: arguments are an object');
    formatGrammar({ kind: 'json_schema', schema: parameters });
    return parameters;
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    if (!strict) return null;
    return blaming(param, () => {
      throw cause;
    });
  }
}

function isNamed(choice: ToolBody['tool_choice']): boolean {
  return typeof choice === 'object' && choice?.type === 'function';
}

function readChoice({ tool_choice: choice }: ToolBody, tools: readonly DescribedTool[]): Choice {
  if (choice == null) return { mode: 'auto', names: null };
  if (tools.length === 0 && choice !== 'none' && choice !== 'auto') {
    throw new GatewayError('invalid_request', "'tool_choice' is only allowed with 'tools'.", {
      param: 'tool_choice',
    });
  }
  if (typeof choice === 'string') return { mode: choice, names: null };
  const named = choice.type === 'function' ? [choice] : choice.allowed_tools.tools;
  const names = named.map((tool) => tool.function.name);
  const stranger = names.find((name) => !tools.some((tool) => tool.name === name));
  if (stranger !== undefined) {
    throw new GatewayError(
      'invalid_request',
      `'tool_choice' names '${stranger}', which is not among 'tools'.`,
      {
        param: 'tool_choice',
      },
    );
  }
  return { mode: choice.type === 'function' ? 'required' : choice.allowed_tools.mode, names };
}
