/**
 * The text of one choice as its reader wants it: content, and calls of tools told apart from it. Without tools all text
 * is content. Deltas have the shape that OpenAI's helpers check: index, id and name of a call once, then arguments alone.
 */
import { randomUUID } from 'node:crypto';
import type { CallForm } from '../src/text/call-form.ts';
import { type AnswerPiece, ToolCallParser } from '../src/text/tool-call-parser.ts';
import type { Delta, FunctionCall } from './chat-response.ts';

interface OpenCall {
  readonly id: string;
  readonly name: string;
  text: string;
}

export class ChoiceReader {
  readonly #parser: ToolCallParser | null;
  readonly #calls: OpenCall[] = [];
  #text = '';

  /** `callForm`: how calls are written in the answer; null: it has none. */
  constructor(callForm: CallForm | null) {
    this.#parser = callForm === null ? null : new ToolCallParser(callForm);
  }

  /** What a delta of the text comes to: one delta without tools, else as many as it takes, or none. */
  push(text: string): Delta[] {
    if (this.#parser === null) {
      this.#text += text;
      return [{ content: text }];
    }
    return this.#parser.push(text).map((piece) => this.#take(piece));
  }

  flush(): Delta[] {
    return (this.#parser?.flush() ?? []).map((piece) => this.#take(piece));
  }

  get text(): string {
    return this.#text;
  }

  /** Calls that are whole. */
  get calls(): FunctionCall[] {
    return this.#calls
      .slice(0, this.#parser?.completeCalls ?? 0)
      .map(({ id, name, text }) => ({ id, name, arguments: text }));
  }

  get endsWithCalls(): boolean {
    return this.#parser?.endsWithCalls ?? false;
  }

  #take(piece: AnswerPiece): Delta {
    switch (piece.type) {
      case 'content':
        this.#text += piece.text;
        return { content: piece.text };
      case 'call': {
        const id = `call_${randomUUID().replaceAll('-', '')}`;
        this.#calls.push({ id, name: piece.name, text: '' });
        return {
          tool_calls: [
            { index: piece.index, id, type: 'function', function: { name: piece.name, arguments: '' } },
          ],
        };
      }
      case 'arguments':
        this.#calls[piece.index]!.text += piece.text;
        return { tool_calls: [{ index: piece.index, function: { arguments: piece.text } }] };
    }
  }
}
