/**
 * What the parts of a schema are turned into, and what they are handed for that. Each schema is a rule; its production
 * says the text of the rule and what it cannot end without, so that schemas without a finite value are found.
 */
import type { EbnfWriter } from './ebnf.ts';
import type { JsonRules } from './json-rules.ts';

export interface Production {
  readonly text: string;
  /** Ways to end: each the rules that must end with it. One empty way: it always can. */
  readonly ways: readonly (readonly string[])[];
}

export interface SchemaContext {
  readonly writer: EbnfWriter;
  /** The rule of a schema that stands at `pointer`. Throws SchemaError. */
  ruleOf(schema: unknown, pointer: string): string;
  /** What a local `$ref` leads to. Throws SchemaError. */
  resolve(ref: unknown, pointer: string): { readonly schema: unknown; readonly pointer: string };
  anyJson(): JsonRules;
}

/** A production that can always end. */
export function ending(text: string): Production {
  return { text, ways: [[]] };
}

/** The first rule without a way to end, or null. */
export function endlessRule(rules: ReadonlyMap<string, Production>): string | null {
  const ends = new Set<string>();
  const canEnd = (name: string): boolean => ends.has(name) || !rules.has(name);
  for (let before = -1; before < ends.size; ) {
    before = ends.size;
    for (const [name, { ways }] of rules) if (ways.some((needed) => needed.every(canEnd))) ends.add(name);
  }
  return [...rules.keys()].find((name) => !ends.has(name)) ?? null;
}
