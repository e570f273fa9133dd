/** The events of a response that is over and of which only the end was kept: as if it had come item by item. Pure. */
import { createEventSequence } from './event-sequence.ts';
import type { ResponseEvent } from './response-events.ts';
import type { ResponseObject } from './response-object.ts';

/** The last event carries the stored response as it is. */
export function replayEvents(stored: ResponseObject): ResponseEvent[] {
  const ids = stored.output.map(({ id }) => id);
  const begun = {
    ...stored,
    status: stored.background ? ('queued' as const) : ('in_progress' as const),
    completed_at: null,
    error: null,
    incomplete_details: null,
    output: [],
    usage: null,
  };
  const sequence = createEventSequence(begun, () => ids.shift()!);
  const events = sequence.open();
  for (const item of stored.output) {
    if (item.type === 'function_call') {
      events.push(...sequence.call(item.call_id, item.name), ...sequence.callArguments(item.arguments));
    } else if (item.type === 'message') {
      const texts = item.content.filter((part) => part.type === 'output_text');
      events.push(...sequence.text(texts));
    }
  }
  events.push(...sequence.endAs(stored));
  return events;
}
