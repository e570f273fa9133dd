/**
 * Traces of requests for the simulation, each out of one seed. `load`: those of `bench load` (load-trace.ts), with as many
 * tokens as their texts have at four characters a token. `mixed`: code, maths and chat, short and long; lengths are
 * log-normal, as of answers people ask for, and most clients set a limit far above what they get.
 */
import { readFileSync } from 'node:fs';
import { arrivalsMs, randomAt, traceOf } from './load-trace.ts';
import type { BenchTask } from './mode-runs.ts';
import type { TraceRequest } from './simulated-load.ts';

export const traceNames = ['load', 'mixed'] as const;
export type TraceName = (typeof traceNames)[number];

interface Kind {
  readonly share: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
  /** Standard deviation of the logarithm of the length. */
  readonly spread: number;
  readonly maxTokens: number;
  readonly alpha: number;
}

/** Medians of lengths; acceptance as the shipped head and the suffix index have it on such texts. */
const kinds: readonly Kind[] = [
  { share: 0.3, promptTokens: 60, outputTokens: 24, spread: 0.6, maxTokens: 256, alpha: 0.55 },
  { share: 0.25, promptTokens: 120, outputTokens: 120, spread: 0.6, maxTokens: 1024, alpha: 0.6 },
  { share: 0.2, promptTokens: 150, outputTokens: 180, spread: 0.5, maxTokens: 512, alpha: 0.75 },
  { share: 0.15, promptTokens: 600, outputTokens: 60, spread: 0.5, maxTokens: 256, alpha: 0.65 },
  { share: 0.1, promptTokens: 200, outputTokens: 600, spread: 0.5, maxTokens: 2048, alpha: 0.7 },
];

/** By kind of prompt, from the tokens that a round of eight drafted ones commits behind a lookup (docs/log.md). */
const alphaOf: Readonly<Record<string, number>> = {
  ...{ code: 0.7, copying: 0.79, maths: 0.65, prose: 0.56 },
};
/** Of the default model's answers to the bench's prompts, where no limit cuts them: median, and spread as above. */
const answer = { tokens: 25, spread: 0.8 };
const charactersPerToken = 4;
/** Places of the trace that draw what arrivals and requests do not. */
const lengthPlaces = 1 << 20;

const ownPrompts = new URL('./prompts.jsonl', import.meta.url);

export interface TraceOptions {
  readonly name: TraceName;
  readonly requests: number;
  readonly perSecond: number;
  readonly seed: number;
}

/** Arrivals are a Poisson process of that rate. */
export function simulatedTrace({ name, requests, perSecond, seed }: TraceOptions): TraceRequest[] {
  const times = arrivalsMs(perSecond, Number.POSITIVE_INFINITY, seed, requests);
  const requestAt = name === 'load' ? loadRequests(seed) : mixedRequest;
  return times.map((atMs, place) => ({
    ...{ atMs, owner: '' },
    ...requestAt(randomAt(seed, lengthPlaces + place), place),
  }));
}

type Asked = Omit<TraceRequest, 'atMs' | 'owner'>;

function loadRequests(seed: number): (random: () => number, place: number) => Asked {
  const trace = traceOf(ownTasks(), seed);
  return (random, place) => {
    const { kind, promptIds, maxTokens } = trace(place);
    const tokens = Math.max(1, Math.round(answer.tokens * Math.exp(answer.spread * normal(random))));
    return {
      ...{ promptTokens: promptIds.length, maxTokens, outputTokens: Math.min(maxTokens, tokens) },
      alpha: alphaOf[kind]!,
    };
  };
}

function ownTasks(): BenchTask[] {
  const lines = readFileSync(ownPrompts, 'utf8').split('\n').filter(Boolean);
  return lines.map((line, index) => {
    const { set, kind, text } = JSON.parse(line) as { set: string; kind: string; text: string };
    const promptIds = Array.from({ length: Math.ceil(text.length / charactersPerToken) }, () => 0);
    return { set, kind, text, id: `${set}/${index}`, promptIds };
  });
}

function mixedRequest(random: () => number): Asked {
  const kind = kindAt(random());
  const scale = (): number => Math.exp(kind.spread * normal(random));
  return {
    promptTokens: Math.max(2, Math.round(kind.promptTokens * scale())),
    outputTokens: Math.min(kind.maxTokens, Math.max(1, Math.round(kind.outputTokens * scale()))),
    maxTokens: kind.maxTokens,
    alpha: kind.alpha,
  };
}

function kindAt(position: number): Kind {
  let passed = 0;
  for (const kind of kinds) {
    passed += kind.share;
    if (position < passed) return kind;
  }
  return kinds.at(-1)!;
}

/** Box and Muller. */
function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
