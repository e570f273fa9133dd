/**
 * A validated Responses body → the order for it. Pure. Fields of other endpoints are told their name here, those that
 * would change the answer and are not served are refused, the rest is left to the log.
 */
import type { CompletionRequest } from '../src/completion.ts';
import { GatewayError } from '../src/errors.ts';
import type { NewId } from '../src/responses/items.ts';
import type { ResponseOrder } from '../src/responses/response-maker.ts';
import type { ResponseSettings } from '../src/responses/response-object.ts';
import type { CallForm } from '../src/text/call-form.ts';
import { metricsBody } from './answer-figures.ts';
import { joinText } from './chat-request.ts';
import { type FormatBody, readFormat } from './format-fields.ts';
import { readItems } from './response-items.ts';
import { ResponseRequest, type ResponseRequestBody } from './response-schemas.ts';
import { chatFormat, chatTools, responseParam, toldTools } from './response-tools.ts';
import { readSampling } from './sampling-fields.ts';
import { readTools } from './tool-fields.ts';
import { checkUnserved } from './unserved-parameters.ts';

export interface OrderContext {
  readonly owner: string;
  /** The name that the model goes by. */
  readonly model: string;
  readonly contextLength: number;
  readonly callForm: CallForm;
  readonly newId: NewId;
}

const served: ReadonlySet<string> = new Set(Object.keys(ResponseRequest.properties));
/** Cannot change the answer. */
const ignored: ReadonlySet<string> = new Set([
  'access_programs',
  'image',
  'prompt_cache_options',
  'prompt_cache_retention',
  'type',
]);
/** What clients of chat send by mistake → its name here. */
const misplaced: Readonly<Record<string, string>> = {
  messages: 'input',
  max_tokens: 'max_output_tokens',
  max_completion_tokens: 'max_output_tokens',
  response_format: 'text.format',
  reasoning_effort: 'reasoning.effort',
};
const refused: ReadonlySet<string> = new Set(['prompt', 'moderation', 'context_management', 'n']);
const logprobsWanted = 'message.output_text.logprobs';

/** Throws unsupported_parameter for the first field that would change the answer; returns names that are unknown. */
export function checkResponseFields(body: Readonly<Record<string, unknown>>): string[] {
  const others = Object.entries(body).filter(([name, value]) => {
    return !served.has(name) && !ignored.has(name) && value !== null;
  });
  for (const [name] of others) {
    if (Object.hasOwn(misplaced, name)) {
      throw new GatewayError('unsupported_parameter', `'${name}' is called '${misplaced[name]}' here.`, {
        param: name,
      });
    }
    if (refused.has(name)) throw unsupported(name);
  }
  return checkUnserved(Object.fromEntries(others));
}

/** Throws invalid_request, unsupported_parameter. */
export function readResponseRequest(
  body: ResponseRequestBody,
  { owner, model, contextLength, callForm, newId }: OrderContext,
): ResponseOrder {
  checkCombinations(body);
  const tools = readTools(chatTools(body), readFormat(formatOf(body)), callForm);
  return {
    owner,
    contextLength,
    settings: readSettings(body, model),
    input: readItems(body.input ?? [], newId),
    completion: { ...readCompletion(body), ...(tools.grammar !== null && { grammar: tools.grammar }) },
    tools,
    callForm: tools.callable ? callForm : null,
    extend: body.speculation == null ? null : (finish) => ({ metrics: metricsBody(finish) }),
  };
}

const formatOf = ({ text, structured_outputs }: ResponseRequestBody): FormatBody => ({
  response_format: chatFormat(text?.format ?? null),
  structured_outputs: structured_outputs ?? null,
});

function checkCombinations(body: ResponseRequestBody): void {
  if (body.conversation != null && body.previous_response_id != null) {
    throw new GatewayError(
      'invalid_request',
      "'previous_response_id' and 'conversation' cannot be used together.",
      { param: 'previous_response_id' },
    );
  }
  if (body.background === true && body.store === false) {
    throw new GatewayError('invalid_request', "A response in the background needs 'store': true.", {
      param: 'background',
    });
  }
  if (body.stream_options != null && body.stream !== true) {
    throw new GatewayError('invalid_request', "'stream_options' is only allowed with 'stream': true.", {
      param: 'stream_options',
    });
  }
}

function unsupported(name: string): GatewayError {
  return new GatewayError(
    'unsupported_parameter',
    `'${name}' is not supported here and would change the answer. Leave it out.`,
    { param: name },
  );
}

function readCompletion(body: ResponseRequestBody): ResponseOrder['completion'] {
  const prediction = body.prediction == null ? null : joinText(body.prediction.content, 'prediction.content');
  const withLogprobs = body.top_logprobs != null || body.include?.includes(logprobsWanted) === true;
  return {
    ...readSampling(body),
    ...(withLogprobs && { logprobs: body.top_logprobs ?? 0 }),
    maxTokens: body.max_output_tokens ?? null,
    prediction,
  };
}

function readSettings(body: ResponseRequestBody, model: string): ResponseSettings {
  const { conversation, reasoning } = body;
  return {
    model,
    instructions: body.instructions ?? null,
    previous_response_id: body.previous_response_id ?? null,
    conversation: typeof conversation === 'string' ? { id: conversation } : (conversation ?? null),
    background: body.background ?? false,
    store: body.store ?? true,
    max_output_tokens: body.max_output_tokens ?? null,
    max_tool_calls: body.max_tool_calls ?? null,
    temperature: body.temperature ?? 1,
    top_p: body.top_p ?? 1,
    top_logprobs: body.top_logprobs ?? 0,
    presence_penalty: body.presence_penalty ?? 0,
    frequency_penalty: body.frequency_penalty ?? 0,
    truncation: body.truncation ?? 'disabled',
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    tool_choice: body.tool_choice ?? 'auto',
    tools: toldTools(body),
    text: { format: body.text?.format ?? { type: 'text' }, verbosity: body.text?.verbosity ?? 'medium' },
    reasoning: { effort: reasoning?.effort ?? null, summary: reasoning?.summary ?? null },
    service_tier: 'default',
    metadata: body.metadata ?? {},
    safety_identifier: body.safety_identifier ?? null,
    prompt_cache_key: body.prompt_cache_key ?? null,
    user: body.user ?? null,
  };
}

/** An error of the engine, which speaks of chats, in the terms of this endpoint; any other as it is. */
export function inResponseTerms(error: unknown): unknown {
  if (!(error instanceof GatewayError)) return error;
  const param = responseParam(error.param ?? '');
  if (param === (error.param ?? '')) return error;
  const { code, message } = error;
  return new GatewayError(code, message.replaceAll(`'${error.param}'`, `'${param}'`), {
    param,
    cause: error,
  });
}

/** Completion fields of a request that says nothing of sampling: greedy, so that it repeats. */
export const greedyCompletion: Omit<CompletionRequest, 'messages' | 'promptIds' | 'owner' | 'signal'> = {
  ...readSampling({ temperature: 0 }),
  maxTokens: null,
  prediction: null,
};
