/**
 * What simulated passes, drafts and links cost: as the latency model of a load report has fitted them, or as one of two
 * processors was seen to cost. Fitted while one user was served alone, so that nobody else's work is in them.
 */
import { readFile } from 'node:fs/promises';
import type { LatencyModel } from '../src/engine/latency-model.ts';
import { readClaim } from './kept-reports.ts';
import type { LoadReport } from './load.ts';
import type { SimulatedCosts } from './simulated-load.ts';

/** Whole default model on one thread of these processors: a pass and a row of it, ms (docs/log.md). */
export const knownPasses = {
  vnni: { name: 'AVX-512 VNNI', fixedMs: 14, perRowMs: 2.7 },
  avx2: { name: 'AVX2', fixedMs: 8.5, perRowMs: 3.8 },
} as const;
export type KnownProcessor = keyof typeof knownPasses;

/** One token of the shipped draft head, and what a frame takes at each hop besides link and pass, ms. */
const draftTokenMs = 1.3;
const hopMs = 0.7;

export interface NamedCosts extends SimulatedCosts {
  /** Where they are from. */
  readonly name: string;
  /** Delay that links are set to; they take a little more (`t1Ms`). */
  readonly nominalT1Ms: number;
}

export function knownCosts(processor: KnownProcessor, workers: number, t1Ms: number): NamedCosts {
  const { name, fixedMs, perRowMs } = knownPasses[processor];
  const stage = { fixedMs: fixedMs / workers, perRowMs: perRowMs / workers };
  const stages = Array.from({ length: workers }, () => stage);
  return { name, stages, nominalT1Ms: t1Ms, t1Ms, hopMs, draftTokenMs };
}

/** `t1Ms`: as measured without the workers' own part of a hop. */
export function fittedCosts(latency: LatencyModel, t1Ms: number): SimulatedCosts {
  const { linksMs, stages, draftTokenMs: bySource } = latency.terms();
  return {
    ...{ stages, t1Ms, draftTokenMs: bySource.get('head') ?? draftTokenMs },
    hopMs: Math.max(0, linksMs / (stages.length + 1) - t1Ms),
  };
}

/** Of the report with the slowest links. Throws Error for a file without costs. */
export async function costsOfReport(path: string): Promise<NamedCosts> {
  const { claim, reports } = readClaim(await readFile(path, 'utf8'), path);
  const loads = claim === 'load' ? (reports as LoadReport[]) : [];
  const slowest = loads.toSorted((a, b) => b.t1Ms - a.t1Ms).find(({ costs }) => costs !== undefined);
  if (slowest?.costs === undefined)
    throw new Error(`${path} holds no fitted costs; give a file that 'bench load --json' has written.`);
  const { environment, costs, t1Ms: nominalT1Ms } = slowest;
  return { ...costs, nominalT1Ms, name: `fitted on ${environment.cpu}, ${environment.date.slice(0, 10)}` };
}

export function describeCosts({ name, stages, t1Ms, hopMs, draftTokenMs: tokenMs }: NamedCosts): string {
  const passes = stages.map(({ fixedMs, perRowMs }) => `${fixedMs.toFixed(1)} + ${perRowMs.toFixed(2)}`);
  const same = new Set(passes).size === 1 ? `${passes.length} stages of ${passes[0]}` : passes.join(', ');
  return `${name}: ${same} ms a row; links ${t1Ms.toFixed(1)} + ${hopMs.toFixed(1)} ms; a draft token ${tokenMs.toFixed(1)} ms`;
}
