/**
 * Environment and flags → frozen configuration; the only file that reads process.env. A flag wins over its variable.
 * Nothing is guessed: an unknown name or a value that does not parse is an error that says what was meant or expected,
 * and all of them are told at once.
 */
import { homedir } from 'node:os';
import path from 'node:path';
import { Value } from 'typebox/value';
import { isLoopbackHost } from './loopback.ts';
import { nearestName } from './nearest-name.ts';
import {
  type Config,
  gatewaySettings,
  type Setting,
  type SettingForm,
  type WorkerConfig,
  workerSettings,
} from './settings.ts';

export type Environment = Readonly<Record<string, string | undefined>>;
/** The environment of this process. */
export const processEnvironment: Environment = process.env;

/** Values of commander: strings, `true` for a switch; keys are `Setting.flagKey`. */
export type Flags = Readonly<Record<string, unknown>>;

/** Settings that cannot be used; one line a problem. */
export class ConfigError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

/** The gateway's settings. Throws ConfigError. */
export function loadConfig(env: Environment = processEnvironment, flags: Flags = {}): Config {
  const config = readSettings(gatewaySettings, env, flags) as unknown as Config;
  if (!isLoopbackHost(config.host) && config.apiKeys === null && !config.allowPublic) {
    throw new ConfigError([
      `FORETOKEN_HOST=${config.host} is reachable from outside, and no key protects the gateway. ` +
        'Set FORETOKEN_API_KEYS (foretoken keys makes one), use 127.0.0.1, or set FORETOKEN_ALLOW_PUBLIC=1 if everyone who reaches it may use it.',
    ]);
  }
  return config;
}

/** A worker's settings. Throws ConfigError. */
export function loadWorkerConfig(env: Environment = processEnvironment, flags: Flags = {}): WorkerConfig {
  const config = readSettings(workerSettings, env, flags) as unknown as WorkerConfig;
  if (!isLoopbackHost(config.listen.host) && config.clusterKey === null) {
    throw new ConfigError([
      `--listen ${config.listen.host} is reachable from outside. Set FORETOKEN_CLUSTER_KEY, the same on the gateway ` +
        'and on every worker, or listen on 127.0.0.1.',
    ]);
  }
  return config;
}

function readSettings(settings: readonly Setting[], env: Environment, flags: Flags): Record<string, unknown> {
  const problems = [...unknownVariables(env), ...unknownFlags(settings, flags)];
  const config: Record<string, unknown> = {};
  for (const setting of settings) {
    const { text, name } = givenText(setting, env, flags);
    if (text === null) {
      problems.push(`${flagOf(setting)} (or ${setting.env}) must be given: ${setting.expected}.`);
      continue;
    }
    const value = parseSetting(text, setting.form, env);
    if (Value.Check(setting.schema, value)) config[setting.key] = value;
    else problems.push(`${name}=${shown(setting, text)} cannot be used. Expected ${setting.expected}.`);
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return deepFreeze(config);
}

/** The text of a setting and where it came from: flag, variable, default; an empty variable is an unset one. */
function givenText(setting: Setting, env: Environment, flags: Flags): { text: string | null; name: string } {
  const flag = flags[setting.flagKey];
  if (flag !== undefined) return { text: flag === true ? '1' : String(flag), name: flagOf(setting) };
  const variable = env[setting.env];
  if (variable !== undefined && variable !== '') return { text: variable, name: setting.env };
  return { text: setting.fallback, name: setting.env };
}

/** Secrets do not belong on terminals and in logs. */
const shown = (setting: Setting, text: string): string => (setting.form === 'secret' ? '…' : text);

const flagOf = (setting: Setting): string => setting.flags.split(' ')[0]!;

/** Variables of either process are known to both: they share an environment on one machine. */
function unknownVariables(env: Environment): string[] {
  const known = [...new Set([...gatewaySettings, ...workerSettings].map((setting) => setting.env))];
  return Object.keys(env)
    .filter((name) => name.startsWith('FORETOKEN_') && !known.includes(name))
    .map((name) => `${name} is not a setting.${suggestion(nearestName(name, known))}`);
}

function unknownFlags(settings: readonly Setting[], flags: Flags): string[] {
  const known = settings.map((setting) => setting.flagKey);
  return Object.keys(flags)
    .filter((key) => !known.includes(key))
    .map((key) => {
      const nearest = settings.find((setting) => setting.flagKey === nearestName(key, known));
      return `${dashed(key)} is not a setting.${suggestion(nearest === undefined ? null : flagOf(nearest))}`;
    });
}

const dashed = (key: string): string => `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
const suggestion = (name: string | null): string =>
  name === null ? ' See --help.' : ` Did you mean ${name}?`;

/** Text → value, or undefined where it does not parse. '' only comes from a default and means none. */
function parseSetting(text: string, form: SettingForm, env: Environment): unknown {
  if (text === '') return form === 'list' ? [] : null;
  switch (form) {
    case 'text':
    case 'secret':
      return text;
    case 'path':
      return expandHome(text, env);
    case 'integer':
      return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
    case 'bytes':
      return parseBytes(text);
    case 'switch':
      return { '1': true, true: true, '0': false, false: false }[text.toLowerCase()];
    case 'list':
      return text
        .split(',')
        .map((item) => item.trim().replace(/\/$/, ''))
        .filter((item) => item !== '');
    case 'layers':
      return parseLayers(text);
    case 'address':
      return parseAddress(text);
  }
}

const byteUnits: Record<string, number> = {
  '': 1,
  b: 1,
  k: 2 ** 10,
  kib: 2 ** 10,
  kb: 1e3,
  m: 2 ** 20,
  mib: 2 ** 20,
  mb: 1e6,
  g: 2 ** 30,
  gib: 2 ** 30,
  gb: 1e9,
  t: 2 ** 40,
  tib: 2 ** 40,
  tb: 1e12,
};

/** `1GiB`, `1.5G`, `512 MiB`, `1073741824` → bytes; GB is 10^9, GiB and G are 2^30. */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,6})?)\s*([a-z]*)$/i.exec(text.trim());
  const unit = match === null ? undefined : byteUnits[match[2]!.toLowerCase()];
  return match === null || unit === undefined ? undefined : Math.floor(Number(match[1]) * unit);
}

function parseLayers(text: string): { start: number; end: number } | undefined {
  const match = /^(\d{1,4}):(\d{1,4})$/.exec(text.trim());
  if (match === null) return undefined;
  const [start, end] = [Number(match[1]), Number(match[2])];
  return start < end ? { start, end } : undefined;
}

function parseAddress(text: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^\s:/[\]]+)):(\d{1,5})$/i.exec(text.trim());
  return match === null ? undefined : { host: match[1] ?? match[2]!, port: Number(match[3]) };
}

function expandHome(text: string, env: Environment): string {
  const userHome = env['HOME'] || homedir();
  return path.resolve(text === '~' || text.startsWith('~/') ? path.join(userHome, text.slice(1)) : text);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const inner of Object.values(value)) deepFreeze(inner);
    Object.freeze(value);
  }
  return value;
}

/**
 * The environment of a process that we spawn: ours with these additions, less the settings that its flags carry, so
 * that a worker never inherits what was meant for its gateway.
 */
export function childEnvironment(additions: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('FORETOKEN_'));
  return { ...Object.fromEntries(inherited), ...arithmeticEnvironment, ...additions };
}

/**
 * What native code must read before its first session: flash attention cuts keys into blocks of the machine's L2
 * size, and so would the bits of every logit.
 */
const arithmeticEnvironment = { ORT_GQA_DISABLE_FLASH_ATTENTION: '1' } as const;

/** For a worker that a person started. On the main thread an assignment reaches native code. */
export function pinArithmeticEnvironment(): void {
  Object.assign(process.env, arithmeticEnvironment);
}
