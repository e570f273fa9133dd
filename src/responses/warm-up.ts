/** The events of a response that was made without asking the model: begun and complete, without an item. Pure. */
import type { ResponseEvent } from './response-events.ts';
import type { ResponseObject } from './response-object.ts';

export function warmUpEvents(response: ResponseObject): ResponseEvent[] {
  const begun = { ...response, status: 'in_progress' as const, completed_at: null, usage: null };
  return [
    { type: 'response.created', response: begun, sequence_number: 0 },
    { type: 'response.in_progress', response: begun, sequence_number: 1 },
    { type: 'response.completed', response, sequence_number: 2 },
  ];
}
