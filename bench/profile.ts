/**
 * `bench profile`: where the gateway and the workers spend their own time in a round, by sampling: a ring without links
 * and delays, the same prompts plainly and speculatively. Every process is profiled from its start and cut to the time
 * that was measured. Engines run their passes inside `run`, which is arithmetic; all else is what the system adds.
 */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import inspector from 'node:inspector/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DraftPolicy } from '../src/drafting/drafter.ts';
import type { Serving } from '../src/serving.ts';
import { generate } from './bench-gateway.ts';
import { prepareTasks, undelayed } from './bench-tasks.ts';
import { type ClusterModel, startCluster } from './cluster.ts';
import {
  type CpuProfile,
  type FunctionTime,
  profileClockUs,
  runsFile,
  selfTimes,
  type Window,
} from './cpu-profile.ts';
import type { PromptLimit } from './data-set.ts';
import type { BenchTask } from './mode-runs.ts';
import { sum } from './statistics.ts';
import { cell, plainTable } from './table.ts';

const noDelay = { delayMs: 0, mbit: null, jitterMs: 0, seed: 0 };
/** Between samples, µs: a hop takes about 500. */
const intervalUs = 100;
/** Functions that are shown of each kind of thread. */
const functionsShown = 14;

const warmUp = { maxTokens: 64, prediction: null } as const;

const modes: readonly (readonly [name: string, speculation: DraftPolicy])[] = [
  ['plain', { drafter: 'none', draftLength: 0 }],
  ['drafts of text', { drafter: 'ngram', draftLength: 'auto', rounds: 'async' }],
];

/** What profiles are told apart by: the file that a thread begins with. */
const threadKinds: readonly (readonly [name: string, entry: string])[] = [
  ['engine threads', 'shards/engine-thread.ts'],
  ['workers', 'src/cli.ts'],
];

export interface ProfileOptions extends ClusterModel {
  readonly workers: number;
  readonly dataPaths: readonly string[];
  readonly limit: PromptLimit;
  readonly maxTokens: number;
  /** Where the profiles stay, for a viewer of flame graphs; null: nowhere. */
  readonly keepIn: string | null;
  readonly print: (line: string) => void;
}

interface Measured {
  readonly mode: string;
  readonly rounds: number;
  readonly window: Window;
}

interface NamedProfile {
  readonly kind: string;
  readonly profile: CpuProfile;
}

export async function runProfileBench(options: ProfileOptions): Promise<void> {
  const { print, keepIn } = options;
  const { tasks } = await prepareTasks({ ...options, modelPath: options.model.path });
  const directory = keepIn ?? (await mkdtemp(join(tmpdir(), 'foretoken-profile-')));
  await mkdir(directory, { recursive: true });
  try {
    const { measured, gateway } = await measure(options, undelayed(tasks), directory);
    await writeFile(join(directory, 'gateway.cpuprofile'), JSON.stringify(gateway));
    const profiles = [{ kind: 'gateway', profile: gateway }, ...(await readProfiles(directory))];
    for (const one of measured) print(`\n${profileText(one, profiles)}`);
    if (keepIn !== null) print(`\nprofiles are in ${keepIn}`);
  } finally {
    if (keepIn === null) await rm(directory, { recursive: true });
  }
}

/** Workers write their profiles when they end, so the cluster is closed before anything is read. */
async function measure(
  options: ProfileOptions,
  tasks: readonly BenchTask[],
  directory: string,
): Promise<{ measured: Measured[]; gateway: CpuProfile }> {
  const flags = `--cpu-prof --cpu-prof-dir=${directory} --cpu-prof-interval=${intervalUs}`;
  const cluster = await startCluster(options, options.workers, noDelay, { NODE_OPTIONS: flags });
  const session = new inspector.Session();
  session.connect();
  try {
    const gateway = await cluster.openDirectGateway();
    await session.post('Profiler.enable');
    await session.post('Profiler.setSamplingInterval', { interval: intervalUs });
    await session.post('Profiler.start');
    // Code that has run for a while is what is asked for.
    for (const [, speculation] of modes)
      await generate(gateway, { ...warmUp, promptIds: tasks[0].promptIds, speculation });
    const measured: Measured[] = [];
    for (const [mode, speculation] of modes)
      measured.push(await measureMode(gateway, tasks, options.maxTokens, mode, speculation));
    const { profile } = await session.post('Profiler.stop');
    return { measured, gateway: profile as CpuProfile };
  } finally {
    session.disconnect();
    await cluster.close();
  }
}

async function measureMode(
  gateway: Serving,
  tasks: readonly BenchTask[],
  maxTokens: number,
  mode: string,
  speculation: DraftPolicy,
): Promise<Measured> {
  const fromUs = profileClockUs();
  let rounds = 0;
  for (const { promptIds } of tasks)
    rounds += (await generate(gateway, { promptIds, maxTokens, prediction: null, speculation })).rounds
      .length;
  return { mode, rounds, window: { fromUs, toUs: profileClockUs() } };
}

async function readProfiles(directory: string): Promise<NamedProfile[]> {
  const names = (await readdir(directory)).filter((name) => /^CPU.*\.cpuprofile$/.test(name));
  const profiles = await Promise.all(
    names.map(async (name) => JSON.parse(await readFile(join(directory, name), 'utf8')) as CpuProfile),
  );
  return profiles.flatMap((profile) => {
    const kind = threadKinds.find(([, entry]) => runsFile(profile, entry));
    return kind === undefined ? [] : [{ kind: kind[0], profile }];
  });
}

function profileText({ mode, rounds, window }: Measured, profiles: readonly NamedProfile[]): string {
  const kinds = [...Map.groupBy(profiles, ({ kind }) => kind)];
  return kinds
    .map(([kind, ofKind]) => {
      const times = merged(ofKind.flatMap(({ profile }) => selfTimes(profile, window)));
      const total = sum(times.map(({ ms }) => ms));
      const title = `${mode}, ${rounds} rounds: ${kind} (${ofKind.length}), ${cell(total / rounds, 3)} ms a round of all`;
      const owners = [...Map.groupBy(times, ({ owner }) => owner)]
        .map(([owner, group]) => ({ owner, share: sum(group.map(({ ms }) => ms)) / total }))
        .toSorted((a, b) => b.share - a.share)
        .map(({ owner, share }) => `${owner} ${cell(100 * share, 1)} %`);
      const rows = times
        .slice(0, functionsShown)
        .map(({ name, ms }) => [name, cell((1000 * ms) / rounds, 1), `${cell((100 * ms) / total, 1)} %`]);
      return `${title}\n${owners.join(', ')}\n${plainTable({ textColumns: 1, header: ['function', 'µs a round', 'share'], rows })}`;
    })
    .join('\n\n');
}

function merged(times: readonly FunctionTime[]): FunctionTime[] {
  return [...Map.groupBy(times, ({ name }) => name)]
    .map(([name, group]) => ({ name, owner: group[0].owner, ms: sum(group.map(({ ms }) => ms)) }))
    .toSorted((a, b) => b.ms - a.ms);
}
