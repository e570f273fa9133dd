/** Response objects for tests. */
import {
  newResponse,
  type ResponseObject,
  type ResponseSettings,
} from '../../src/responses/response-object.ts';

const settings: ResponseSettings = {
  model: 'tiny/model-1',
  instructions: null,
  previous_response_id: null,
  conversation: null,
  background: false,
  store: true,
  max_output_tokens: null,
  max_tool_calls: null,
  temperature: 1,
  top_p: 1,
  top_logprobs: 0,
  presence_penalty: 0,
  frequency_penalty: 0,
  truncation: 'disabled',
  parallel_tool_calls: true,
  tool_choice: 'auto',
  tools: [],
  text: { format: { type: 'text' }, verbosity: 'medium' },
  reasoning: { effort: null, summary: null },
  service_tier: 'default',
  metadata: {},
  safety_identifier: null,
  prompt_cache_key: null,
  user: null,
};

/** One without output. */
export function emptyResponse(change: Partial<ResponseSettings> & { readonly id?: string }): ResponseObject {
  return { ...newResponse(change.id ?? 'resp_1', 1_700_000_000, settings), ...newStatus(change), ...change };
}

const newStatus = ({ background }: Partial<ResponseSettings>): Pick<ResponseObject, 'status'> => ({
  status: background === true ? 'queued' : 'in_progress',
});
