/**
 * A validated body of `POST /v1/completions` → a CompletionRequest for each of its prompts. What the schema cannot say
 * is refused here with the field's name; all prompts are read before the first is answered.
 */
import type { CompletionRequest } from '../src/completion.ts';
import { GatewayError } from '../src/errors.ts';
import type { PromptEncoder } from '../src/prompt-encoder.ts';
import type { TextRequestBody } from './completion-schemas.ts';
import { readSampling } from './sampling-fields.ts';

/** OpenAI's own default. */
const maxTokensDefault = 16;

/** What the answer shall have, beyond the tokens. */
export interface TextOptions {
  /** Choices to return of each prompt. */
  readonly n: number;
  readonly withUsage: boolean;
  readonly withMetrics: boolean;
  readonly withTokenIds: boolean;
  /** Alternatives per token, or null: no log-probabilities. */
  readonly logprobs: number | null;
}

/** One prompt of the batch. */
export interface TextOrder {
  readonly request: CompletionRequest;
  /** What the answer begins with; null without `echo`. */
  readonly echo: string | null;
}

/** Throws invalid_request, context_length_exceeded. */
export function readTextRequest(
  body: TextRequestBody,
  prompts: PromptEncoder,
  caller: Pick<CompletionRequest, 'owner' | 'signal'>,
): { readonly orders: readonly TextOrder[]; readonly options: TextOptions } {
  checkCombinations(body);
  const sampling = readSampling(body);
  const maxTokens = body.max_tokens ?? maxTokensDefault;
  const n = body.n ?? 1;
  const choices = body.best_of ?? n;
  const logprobs = body.logprobs ?? null;
  const isRanked = choices > n;
  const orders = readPrompts(body, prompts).map(({ text, ids }, index, { length }): TextOrder => {
    try {
      prompts.room(ids.length, maxTokens, 'prompt');
    } catch (error) {
      throw length === 1 ? error : namingPrompt(error, index);
    }
    return {
      echo: body.echo === true ? (text ?? prompts.decode(ids)) : null,
      request: {
        ...sampling,
        messages: [],
        promptIds: ids,
        choices,
        maxTokens,
        prediction: body.prediction?.content ?? null,
        ...((logprobs !== null || isRanked) && { logprobs: logprobs ?? 0 }),
        // An answer without tokens is what the tail says of the prompt.
        ...((maxTokens === 0 || (body.echo === true && logprobs !== null)) && { promptLogprobs: true }),
        ...caller,
      },
    };
  });
  const options: TextOptions = {
    n,
    withUsage: body.stream_options?.include_usage === true,
    withMetrics: body.speculation != null,
    withTokenIds: body.return_token_ids === true,
    logprobs,
  };
  return { orders, options };
}

function checkCombinations(body: TextRequestBody): void {
  const refuse = (param: string, message: string): never => {
    throw new GatewayError('invalid_request', message, { param });
  };
  if (body.stream !== true && body.stream_options != null) {
    refuse('stream_options', "'stream_options' is only allowed with 'stream': true.");
  }
  if (body.best_of == null) return;
  const n = body.n ?? 1;
  if (body.best_of < n) refuse('best_of', `'best_of' must be at least 'n', which is ${n}.`);
  if (body.stream === true && body.best_of > n)
    refuse('best_of', "'best_of' cannot be chosen from while streaming.");
}

interface Prompt {
  /** null for a prompt of ids. */
  readonly text: string | null;
  readonly ids: readonly number[];
}

function readPrompts({ prompt }: TextRequestBody, prompts: PromptEncoder): Prompt[] {
  const ofText = (text: string): Prompt => ({ text, ids: prompts.encodePrompt(text) });
  const ofIds = (ids: readonly number[], path: string): Prompt => {
    prompts.checkIds(ids, path);
    return { text: null, ids };
  };
  if (prompt == null || typeof prompt === 'string') return [ofText(prompt ?? '')];
  if (typeof prompt[0] === 'string') return (prompt as string[]).map(ofText);
  if (typeof prompt[0] === 'number') return [ofIds(prompt as number[], 'prompt')];
  return (prompt as number[][]).map((ids, index) => ofIds(ids, `prompt[${index}]`));
}

function namingPrompt(error: unknown, index: number): unknown {
  if (!(error instanceof GatewayError)) return error;
  return new GatewayError(error.code, error.message, { param: `prompt[${index}]`, cause: error });
}
