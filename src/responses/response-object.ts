/**
 * The Response object, complete: every key that OpenAI's clients and the OpenResponses schema ask for is there, null
 * where it does not apply. It is JSON as it is sent and stored; a change makes a new object.
 */
import type { Item } from './items.ts';

export type ResponseStatus = 'queued' | 'in_progress' | 'completed' | 'incomplete' | 'failed' | 'cancelled';

export interface ResponseUsage {
  readonly input_tokens: number;
  readonly input_tokens_details: { readonly cached_tokens: number; readonly cache_write_tokens: number };
  readonly output_tokens: number;
  readonly output_tokens_details: { readonly reasoning_tokens: number };
  readonly total_tokens: number;
}

export interface ResponseError {
  /** OpenAI's own short list. */
  readonly code: 'server_error' | 'rate_limit_exceeded' | 'invalid_prompt';
  readonly message: string;
}

/** What the request asked for and the Response repeats. */
export interface ResponseSettings {
  readonly model: string;
  readonly instructions: string | null;
  readonly previous_response_id: string | null;
  readonly conversation: { readonly id: string } | null;
  readonly background: boolean;
  readonly store: boolean;
  readonly max_output_tokens: number | null;
  readonly max_tool_calls: number | null;
  readonly temperature: number;
  readonly top_p: number;
  readonly top_logprobs: number;
  readonly presence_penalty: number;
  readonly frequency_penalty: number;
  readonly truncation: 'auto' | 'disabled';
  readonly parallel_tool_calls: boolean;
  readonly tool_choice: unknown;
  readonly tools: readonly unknown[];
  readonly text: {
    readonly format: Readonly<Record<string, unknown>>;
    readonly verbosity: 'low' | 'medium' | 'high';
  };
  readonly reasoning: { readonly effort: string | null; readonly summary: string | null };
  readonly service_tier: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly safety_identifier: string | null;
  readonly prompt_cache_key: string | null;
  readonly user: string | null;
}

export interface ResponseObject extends ResponseSettings {
  readonly id: string;
  readonly object: 'response';
  /** Seconds since 1970. */
  readonly created_at: number;
  readonly completed_at: number | null;
  readonly status: ResponseStatus;
  readonly error: ResponseError | null;
  readonly incomplete_details: { readonly reason: 'max_output_tokens' | 'content_filter' } | null;
  readonly output: readonly Item[];
  readonly usage: ResponseUsage | null;
  readonly access_programs: null;
  readonly prompt: null;
}

/** A response that has no output yet. */
export function newResponse(id: string, createdS: number, settings: ResponseSettings): ResponseObject {
  return {
    id,
    object: 'response',
    created_at: createdS,
    completed_at: null,
    status: settings.background ? 'queued' : 'in_progress',
    error: null,
    incomplete_details: null,
    output: [],
    usage: null,
    access_programs: null,
    prompt: null,
    ...settings,
  };
}

export const isFinished = ({ status }: Pick<ResponseObject, 'status'>): boolean =>
  status !== 'queued' && status !== 'in_progress';
