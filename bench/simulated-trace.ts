/**
 * A trace of mixed requests under one seed: arrivals at a constant mean rate (Poisson), code, maths and chat, short and
 * long. Lengths are log-normal, as of answers people ask for; most clients set a limit far above what they get.
 */
import type { TraceRequest } from './simulated-load.ts';

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

export interface TraceOptions {
  readonly requests: number;
  readonly perSecond: number;
  readonly random: () => number;
}

export function mixedTrace({ requests, perSecond, random }: TraceOptions): TraceRequest[] {
  let atMs = 0;
  return Array.from({ length: requests }, () => {
    atMs += (-1000 * Math.log(1 - random())) / perSecond;
    const kind = kindAt(random());
    const scale = (): number => Math.exp(kind.spread * normal(random));
    return {
      atMs,
      owner: '',
      promptTokens: Math.max(2, Math.round(kind.promptTokens * scale())),
      outputTokens: Math.min(kind.maxTokens, Math.max(1, Math.round(kind.outputTokens * scale()))),
      maxTokens: kind.maxTokens,
      alpha: kind.alpha,
    };
  });
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
