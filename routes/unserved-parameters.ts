/**
 * What becomes of request fields that ChatRequest does not list. Those that would change the answer are refused with
 * their name, unless they hold the value that means nothing; those that cannot change it are ignored; names that
 * nobody has heard of are ignored too, and told to the caller of this file once each.
 */
import { GatewayError } from '../src/errors.ts';
import { ChatRequest } from './schemas.ts';

type Harmless = (value: unknown) => boolean;

const isOneOf =
  (...values: readonly unknown[]): Harmless =>
  (value) =>
    values.includes(value);

const isEmpty: Harmless = (value) =>
  typeof value === 'object' && value !== null && Object.keys(value).length === 0;

const never: Harmless = () => false;

/** Field → is this value without effect? null always is. */
const refused: Readonly<Record<string, Harmless>> = {
  // OpenAI
  tools: isEmpty,
  tool_choice: isOneOf('none', 'auto'),
  functions: isEmpty,
  function_call: isOneOf('none', 'auto'),
  response_format: (value) => (value as { type?: unknown }).type === 'text',
  modalities: (value) => Array.isArray(value) && value.every((modality) => modality === 'text'),
  audio: never,
  web_search_options: never,
  moderation: never,
  suffix: isOneOf(''),
  max_completion_tokens: never,
  verbosity: isOneOf('medium'),
  // What clients of vLLM and llama.cpp send
  length_penalty: isOneOf(1),
  best_of: isOneOf(1),
  use_beam_search: isOneOf(false),
  echo: isOneOf(false),
  bad_words: isEmpty,
  stop_token_ids: isEmpty,
  allowed_token_ids: isEmpty,
  include_stop_str_in_output: isOneOf(false),
  skip_special_tokens: isOneOf(true),
  prompt_logprobs: isOneOf(false),
  add_generation_prompt: isOneOf(true),
  continue_final_message: isOneOf(false),
  chat_template: never,
  chat_template_kwargs: isEmpty,
  documents: isEmpty,
  structured_outputs: isEmpty,
  guided_json: never,
  guided_regex: never,
  guided_choice: never,
  guided_grammar: never,
  grammar: isOneOf(''),
  json_schema: never,
};

const ignored: ReadonlySet<string> = new Set([
  'prompt_cache_options',
  'prompt_cache_retention',
  'parallel_tool_calls',
]);

/** Fields of chats that cannot change an answer, wherever they are sent. */
const notes: ReadonlySet<string> = new Set([
  'metadata',
  'store',
  'user',
  'safety_identifier',
  'prompt_cache_key',
  'service_tier',
]);

const chatFields: ReadonlySet<string> = new Set(Object.keys(ChatRequest.properties));

/**
 * `served`: the fields of the endpoint; left out, those of chats. What chats serve and the endpoint does not is refused. Throws unsupported_parameter for the first field that
 * would change the answer; returns names that are unknown.
 */
export function checkUnserved(
  body: Readonly<Record<string, unknown>>,
  served: ReadonlySet<string> = chatFields,
): string[] {
  const unknown: string[] = [];
  for (const [name, value] of Object.entries(body)) {
    if (served.has(name) || ignored.has(name)) continue;
    const harmless = Object.hasOwn(refused, name) ? refused[name] : undefined;
    if (harmless === undefined && chatFields.has(name) && !notes.has(name) && value !== null) {
      throw new GatewayError(
        'unsupported_parameter',
        `'${name}' is a parameter of chats, not of this endpoint.`,
        {
          param: name,
        },
      );
    }
    if (harmless === undefined) unknown.push(name);
    else if (value !== null && !harmless(value)) {
      throw new GatewayError(
        'unsupported_parameter',
        `'${name}' is not supported here and would change the answer. Leave it out.`,
        { param: name },
      );
    }
  }
  return unknown;
}
