/**
 * What an answer must look like, as the text of a grammar: a JSON object, a schema, a pattern, one of several texts, or
 * a grammar of the client's own; and calls of tools, alone or as one way to answer.
 */
import { grammarCharsMax } from '../../shards/grammar.ts';
import type { CallForm } from '../text/call-form.ts';
import { asPlainText } from './code-points.ts';
import { anyOf, EbnfWriter, GrammarTooLarge, literal } from './ebnf.ts';
import { jsonRules } from './json-rules.ts';
import { PatternError, regexRule } from './regex-grammar.ts';
import { SchemaError } from './schema-error.ts';
import { schemaRule } from './schema-grammar.ts';

export type AnswerFormat =
  | { readonly kind: 'json_object' }
  | { readonly kind: 'json_schema'; readonly schema: unknown }
  | { readonly kind: 'regex'; readonly pattern: string }
  | { readonly kind: 'choice'; readonly choices: readonly string[] }
  | { readonly kind: 'ebnf'; readonly text: string };

/** A format that cannot be served: why, and for schemas the pointer to what is to blame. */
export class FormatError extends Error {}

/** A tool as its grammar sees it. */
export interface CallableTool {
  readonly name: string;
  /** Schema of the arguments; null: any object. */
  readonly parameters: unknown;
}

/** Throws FormatError. */
export function formatGrammar(format: AnswerFormat): string {
  if (format.kind === 'ebnf') {
    if (format.text.length <= grammarCharsMax) return format.text;
    throw new FormatError(`a grammar has at most ${grammarCharsMax} characters`);
  }
  return explained(() => {
    const writer = new EbnfWriter(grammarCharsMax);
    return writer.text(formatRule(format, writer));
  });
}

export interface ToolAnswer {
  readonly form: CallForm;
  readonly tools: readonly CallableTool[];
  /** May the answer be text, too? */
  readonly textAllowed: boolean;
  /** May several calls follow one another? */
  readonly parallel: boolean;
  /** What text must look like where it is allowed; null: anything. */
  readonly format: Exclude<AnswerFormat, { kind: 'ebnf' }> | null;
}

/** Throws FormatError. */
export function toolGrammar({ form, tools, textAllowed, parallel, format }: ToolAnswer): string {
  const { opening, beforeName, beforeArguments, closing, between } = form;
  return explained(() => {
    const writer = new EbnfWriter(grammarCharsMax);
    const calls = tools.map(({ name, parameters }) => {
      const value = parameters === null ? jsonRules(writer, 'fixed').object : schemaRule(parameters, writer);
      const head = literal(beforeName + JSON.stringify(name) + beforeArguments);
      return writer.rule(`${head} ${value} ${literal(closing)}`);
    });
    const call = writer.rule(anyOf(calls));
    const more = parallel && between !== null ? ` (${literal(between + opening)} ${call})*` : '';
    const rest = writer.rule(call + more);
    const whole = `${literal(opening)} ${rest}`;
    if (!textAllowed) return writer.text(whole);
    if (format !== null) return writer.text(anyOf([whole, formatRule(format, writer)]));
    // Text runs free until it opens a call; behind the call only other calls may follow.
    return writer.text(
      `TagDispatch((${literal(opening)}, ${rest}), stop_eos=true, stop_str=(), loop_after_dispatch=false)`,
    );
  });
}

function formatRule(format: Exclude<AnswerFormat, { kind: 'ebnf' }>, writer: EbnfWriter): string {
  switch (format.kind) {
    case 'json_object':
      return jsonRules(writer, 'free').object;
    case 'json_schema':
      return schemaRule(format.schema, writer);
    case 'regex':
      return regexRule(format.pattern, writer, asPlainText);
    case 'choice':
      return anyOf(format.choices.map(literal));
  }
}

function explained(make: () => string): string {
  try {
    return make();
  } catch (cause) {
    if (cause instanceof SchemaError) throw new FormatError(`#${cause.pointer}: ${cause.message}`, { cause });
    if (cause instanceof PatternError)
      throw new FormatError(`the pattern is not supported: ${cause.message}`, { cause });
    if (cause instanceof GrammarTooLarge) throw new FormatError(cause.message, { cause });
    throw cause;
  }
}
