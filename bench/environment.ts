/** What a number depends on besides the code: machine, runtimes, commit and how busy the machine was. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import os from 'node:os';

export interface Environment {
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly platform: string;
  readonly node: string;
  readonly onnxRuntime: string;
  /** Short hash, with "+" if the tree differs from it; null outside a repository. */
  readonly commit: string | null;
  /** Mean number of running processes over the minute before the run. */
  readonly loadAverage: number;
}

export function readEnvironment(): Environment {
  return {
    date: new Date().toISOString(),
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores: os.availableParallelism(),
    memoryBytes: os.totalmem(),
    platform: `${os.platform()} ${os.release()} ${os.arch()}`,
    node: process.versions.node,
    onnxRuntime: packageVersion('onnxruntime-node'),
    commit: readCommit(),
    loadAverage: readLoad(),
  };
}

/** Load of the last minute. */
export function readLoad(): number {
  return os.loadavg()[0];
}

function packageVersion(name: string): string {
  const path = new URL(`../node_modules/${name}/package.json`, import.meta.url);
  return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version;
}

function readCommit(): string | null {
  const git = (...args: string[]): string =>
    execFileSync('git', args, { cwd: new URL('.', import.meta.url), encoding: 'utf8', stdio: 'pipe' }).trim();
  try {
    const changed = git('status', '--porcelain', '--untracked-files=no') !== '';
    return `${git('rev-parse', '--short=12', 'HEAD')}${changed ? '+' : ''}`;
  } catch {
    return null;
  }
}
