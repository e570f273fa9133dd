/** The order of response events, for any answer: the rules that OpenAI's stream helper checks, stated once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { accumulateResponse } from 'openai/lib/responses/ResponseAccumulator';
import { createEventSequence, type EventSequence } from '../../src/responses/event-sequence.ts';
import { replayEvents } from '../../src/responses/replay.ts';
import type { ResponseEvent } from '../../src/responses/response-events.ts';
import type { ResponseObject } from '../../src/responses/response-object.ts';
import { emptyResponse } from '../support/responses.ts';

type Step =
  | { readonly text: readonly string[] }
  | { readonly call: string; readonly pieces: readonly string[] };

const text = fc.record({ text: fc.array(fc.string(), { maxLength: 5 }) });
const call = fc.record({
  call: fc.string({ minLength: 1 }),
  pieces: fc.array(fc.string(), { maxLength: 3 }),
});
const steps = fc.array(fc.oneof(text, call), { maxLength: 8 });
const endings = fc.constantFrom('stop', 'length', 'fail', 'silent', 'cancel');
const usage = {
  input_tokens: 1,
  input_tokens_details: { cached_tokens: 0, cache_write_tokens: 0 },
  output_tokens: 2,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens: 3,
};

function play(sequence: EventSequence, all: readonly Step[], ending: string): ResponseEvent[] {
  const events = sequence.open();
  let calls = 0;
  for (const step of all) {
    if ('text' in step)
      events.push(...sequence.text(step.text.map((delta) => ({ text: delta, logprobs: [] }))));
    else {
      events.push(...sequence.call(`call_${calls++}`, step.call));
      for (const piece of step.pieces) events.push(...sequence.callArguments(piece));
    }
  }
  const failure = { code: 'shard_lost', param: null, error: { code: 'server_error' as const, message: 'x' } };
  if (ending === 'fail' || ending === 'silent')
    return [...events, ...sequence.fail(failure, ending === 'silent')];
  if (ending === 'cancel') return [...events, ...sequence.cancel()];
  return [...events, ...sequence.finish({ reason: ending as 'stop' | 'length', usage, completedS: 5 })];
}

function idSource() {
  let next = 0;
  return (prefix: string): string => `${prefix}${next++}`;
}

/** What a reader may rely on, whatever was said. */
function check(events: readonly ResponseEvent[], background: boolean): void {
  assert.deepEqual(
    events.map(({ sequence_number }) => sequence_number),
    events.map((_, index) => index),
  );
  const types = events.map(({ type }) => type);
  const opening = background ? ['created', 'queued', 'in_progress'] : ['created', 'in_progress'];
  assert.deepEqual(
    types.slice(0, opening.length),
    opening.map((name) => `response.${name}`),
  );
  const terminal = /^response\.(completed|incomplete|failed)$/;
  assert.deepEqual(
    types.flatMap((type, index) => (terminal.test(type) ? [index] : [])),
    [types.length - 1],
  );
  const responses = events.flatMap((event) => ('response' in event ? [event.response] : []));
  assert.equal(new Set(responses.map(({ id }) => id)).size, 1);
  let open = null as { id: string; index: number; step: string } | null;
  const items = new Map<string, unknown>();
  for (const event of events.slice(opening.length, -1)) {
    switch (event.type) {
      case 'response.output_item.added':
        assert.ok(!open);
        assert.equal(event.output_index, items.size);
        assert.ok(!items.has(event.item.id));
        open = { id: event.item.id, index: event.output_index, step: event.item.type };
        break;
      case 'response.output_item.done':
        assert.deepEqual([event.item.id, event.output_index], [open?.id, open?.index]);
        assert.equal(open?.step, 'done');
        items.set(event.item.id, event.item);
        open = null;
        break;
      case 'error':
        assert.equal(events.at(-1)!.type, 'response.failed');
        break;
      default: {
        assert.ok('item_id' in event && open !== null);
        assert.deepEqual([event.item_id, event.output_index], [open.id, open.index]);
        const [before, after] = transitions[event.type]!;
        assert.ok(before.includes(open.step), `${event.type} after ${open.step}`);
        open.step = after;
      }
    }
  }
  assert.ok(!open);
  assert.deepEqual(responses.at(-1)!.output, [...items.values()]);
}

const transitions: Readonly<Record<string, readonly [readonly string[], string]>> = {
  'response.content_part.added': [['message'], 'part'],
  'response.output_text.delta': [['part', 'text'], 'text'],
  'response.output_text.done': [['part', 'text'], 'text done'],
  'response.content_part.done': [['text done'], 'done'],
  'response.function_call_arguments.delta': [['function_call'], 'function_call'],
  'response.function_call_arguments.done': [['function_call'], 'done'],
};

test('createEventSequence keeps the order, whatever is said and however it ends', () => {
  fc.assert(
    fc.property(steps, endings, fc.boolean(), (all, ending, background) => {
      const sequence = createEventSequence(emptyResponse({ background }), idSource());
      check(play(sequence, all, ending), background);
      assert.throws(() => sequence.text([{ text: 'x', logprobs: [] }]));
      assert.throws(() => sequence.cancel());
    }),
  );
});

test("OpenAI's accumulator rebuilds the response from its events", () => {
  fc.assert(
    fc.property(steps, fc.constantFrom('stop', 'length'), (all, ending) => {
      const events = play(createEventSequence(emptyResponse({}), idSource()), all, ending);
      let snapshot: ReturnType<typeof accumulateResponse> | undefined;
      for (const event of events.slice(0, -1))
        snapshot = accumulateResponse(event as never, snapshot as never);
      const { response } = events.at(-1) as { response: ResponseObject };
      assert.deepEqual(snapshot!.output, response.output);
    }),
  );
});

test('replayEvents of a stored response keep the order and end with it as it is', () => {
  fc.assert(
    fc.property(steps, endings, fc.boolean(), (all, ending, background) => {
      const sequence = createEventSequence(emptyResponse({ background }), idSource());
      play(sequence, all, ending);
      const stored = sequence.response;
      const events = replayEvents(stored);
      check(events, background);
      assert.equal((events.at(-1) as { response: ResponseObject }).response, stored);
    }),
  );
});
