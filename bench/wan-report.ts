/**
 * The wan report: everything that a number depends on, every run, the summaries, and each published goal with what was
 * measured for it. Written as JSON for machines; wan-text.ts writes it for people.
 */

import type { PromptLimit } from './data-set.ts';
import type { LinkTraffic } from './delay-link.ts';
import type { Environment } from './environment.ts';
import type { Goal } from './goals.ts';
import type { Difference, ModeRun } from './mode-runs.ts';
import type { ModeSummary } from './mode-summary.ts';
import type { BenchMode } from './modes.ts';
import type { SingleWorker } from './overhead.ts';
import type { Spread } from './statistics.ts';

export interface WanSettings {
  readonly model: string;
  readonly modelSha256: string;
  readonly quantisation: string;
  readonly workers: number;
  readonly layers: readonly string[];
  readonly t1Ms: number;
  /** Rings of the run that this one is part of. */
  readonly rings: number;
  readonly mbit: number | null;
  readonly jitterMs: number;
  readonly maxTokens: number;
  readonly repeats: number;
  readonly limit: PromptLimit;
  readonly modes: readonly BenchMode[];
  /** Drafters that the gateways had beside copying; null: none. */
  readonly localDrafter: string | null;
  readonly temperature: 0;
}

export interface WanReport {
  readonly claim: 'wan';
  readonly settings: WanSettings;
  readonly environment: Environment;
  readonly loadAverageAfter: number;
  /** Set name → how its tasks became messages. */
  readonly wording: Readonly<Record<string, string>>;
  /** Echoes through the links, ms: before, between prompts and after; `t1Ms` is what the formula is fed with. */
  readonly oneWay: {
    readonly before: number;
    readonly during: number;
    readonly after: number;
    readonly t1Ms: number;
  };
  /** Per worker's link, whole run. */
  readonly traffic: readonly LinkTraffic[];
  readonly summaries: readonly ModeSummary[];
  readonly hopOverheadMs: Spread;
  readonly singleWorker: SingleWorker;
  readonly differences: readonly Difference[];
  readonly goals: readonly Goal[];
  readonly runs: readonly ModeRun[];
}
