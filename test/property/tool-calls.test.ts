/** Calls are found in an answer however it comes in pieces, and half a call is never a whole one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type CallForm, callForms, callText, type SaidCall } from '../../src/text/call-form.ts';
import { type AnswerPiece, ToolCallParser } from '../../src/text/tool-call-parser.ts';

interface Read {
  readonly content: string;
  readonly calls: readonly SaidCall[];
  readonly complete: number;
  readonly endsWithCalls: boolean;
  readonly begun: readonly number[];
}

function read(form: CallForm, pieces: readonly string[]): Read {
  const parser = new ToolCallParser(form);
  const told: AnswerPiece[] = [...pieces.flatMap((piece) => parser.push(piece)), ...parser.flush()];
  const calls: { name: string; arguments: string }[] = [];
  let content = '';
  const begun: number[] = [];
  for (const piece of told) {
    if (piece.type === 'content') content += piece.text;
    else if (piece.type === 'call') {
      begun.push(piece.index);
      calls.push({ name: piece.name, arguments: '' });
    } else calls[piece.index]!.arguments += piece.text;
  }
  const { completeCalls: complete, endsWithCalls } = parser;
  return { content, calls, complete, endsWithCalls, begun };
}

/** Between the calls of an answer stands what the form says; in front any text that does not open one. */
const answers = (form: CallForm) =>
  fc.record({
    text: fc
      .array(fc.constantFrom('a', ' ', '<', '<tool', '{', '"name"', '}', '\n', 'é', '🙂'), { maxLength: 6 })
      .map((parts) => parts.join(''))
      .filter((text) => !`${text}${form.opening.slice(0, -1)}`.includes(form.opening)),
    calls: fc.array(
      fc.record({
        name: fc.stringMatching(/^[a-zA-Z0-9_-]{1,8}$/),
        arguments: fc
          .dictionary(
            fc.constantFrom('a', 'b"c', '}', '</tool_call>', '\\'),
            fc.oneof(
              fc.constantFrom<unknown>('}{', '"', '\\"}', [], {}, null, 1.5, '🙂'),
              fc.jsonValue({ maxDepth: 2 }),
            ),
            { maxKeys: 3 },
          )
          .map((value) => JSON.stringify(value)),
      }),
      { minLength: 1, maxLength: form.between === null ? 1 : 3 },
    ),
  });

for (const form of callForms) {
  test(`calls that begin with ${form.opening} are the same wherever the answer is split`, () => {
    fc.assert(
      fc.property(answers(form), fc.array(fc.nat(), { maxLength: 12 }), ({ text, calls }, cuts) => {
        const answer = text + callText(form, calls);
        const whole = read(form, [answer]);
        assert.equal(whole.content, text);
        assert.deepEqual(
          whole.calls,
          calls.map((call) => ({ ...call })),
        );
        assert.deepEqual(whole.begun, [...calls.keys()]);
        assert.equal(whole.complete, calls.length);
        assert.ok(whole.endsWithCalls);
        // At every single place, at many places, and everywhere.
        for (let at = 1; at < answer.length; at++) {
          assert.deepEqual(read(form, [answer.slice(0, at), answer.slice(at)]), whole);
        }
        const places = [...new Set(cuts.map((cut) => cut % answer.length))].sort((a, b) => a - b);
        const pieces = [0, ...places].map((from, i) => answer.slice(from, places[i] ?? answer.length));
        assert.deepEqual(read(form, pieces), whole);
        assert.deepEqual(
          read(
            form,
            [...answer].flatMap((character) => [...character]),
          ),
          whole,
        );
      }),
      { numRuns: 60, seed: 1128 },
    );
  });

  test(`an answer cut inside of a call that begins with ${form.opening} has one call fewer`, () => {
    fc.assert(
      fc.property(answers(form), ({ text, calls }) => {
        const answer = text + callText(form, calls);
        const before = text + callText(form, calls.slice(0, -1));
        const from = before.length + (calls.length > 1 ? form.between!.length : 0) + form.opening.length;
        for (let at = from; at < answer.length; at++) {
          const cut = read(form, [answer.slice(0, at)]);
          assert.equal(cut.complete, calls.length - 1);
          assert.equal(cut.endsWithCalls, false, answer.slice(0, at));
          assert.equal(cut.content, text);
        }
      }),
      { numRuns: 60, seed: 1129 },
    );
  });
}
