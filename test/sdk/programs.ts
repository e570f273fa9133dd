/**
 * The programs of `npm run test:sdk`, each in the folder of its name: what it needs, how it is built from its own lock file,
 * how it runs. Caches of earlier builds are used; what a program wrote is shown only where it failed.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { processTree } from '../support/process-tree.ts';

export interface Program {
  /** Its folder, too. */
  readonly name: string;
  /** Commands without which it cannot run, or lines that must succeed. */
  readonly needs: readonly string[];
  /** Gets and builds it; from its lock file, and from caches where there are any. */
  readonly build: readonly (readonly string[])[];
  readonly start: readonly string[];
}

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const here = fileURLToPath(new URL('.', import.meta.url));
/** The first build of a language fetches and compiles its packages: a minute on two idle cores. */
const buildMsMax = 8 * 60_000;
/** Some thirty short answers on a busy machine. */
const runMsMax = 4 * 60_000;
/** Of all programs together: several times what a first run takes. What is left over then fails at once. */
export const suiteMsMax = 12 * 60_000;
/** What a failing program says last is what matters. */
const failureCharsMax = 6_000;

const node = process.execPath;
const npmCi = ['npm', 'ci', '--no-fund', '--no-audit', '--ignore-scripts', '--prefer-offline', '--silent'];
const pip = ['.venv/bin/python', '-m', 'pip', 'install', '-q', '--disable-pip-version-check'];

export const programs: readonly Program[] = [
  { name: 'curl', needs: ['curl', 'jq', 'bash'], build: [], start: ['bash', 'main.sh'] },
  { name: 'node', needs: ['npm'], build: [npmCi], start: [node, 'main.ts'] },
  { name: 'vercel', needs: ['npm'], build: [npmCi], start: [node, 'main.ts'] },
  {
    name: 'python',
    // Debian has these apart from Python itself.
    needs: ['python3', 'python3 -m venv --help', 'python3 -m ensurepip --version'],
    build: [
      ['python3', '-m', 'venv', '.venv'],
      [...pip, '-r', 'requirements.txt'],
    ],
    start: ['.venv/bin/python', 'main.py'],
  },
  { name: 'go', needs: ['go'], build: [['go', 'build', '-o', 'target/main', '.']], start: ['target/main'] },
  {
    name: 'java',
    needs: ['mvn', 'java'],
    build: [['mvn', '-q', '-B', 'package']],
    start: ['java', '-cp', 'target/classes:target/dependency/*', 'Main'],
  },
  {
    name: 'rust',
    needs: ['cargo'],
    build: [['cargo', 'build', '--quiet', '--locked']],
    start: ['target/debug/foretoken-sdk-rust'],
  },
];

/** Never rejects: a command that cannot be started has the code null. Killed, with all it started, after `msMax`. */
function execute(
  [command, ...args]: readonly string[],
  options: { cwd: string; env?: Record<string, string>; msMax: number },
): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn(command!, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const late = setTimeout(() => {
      stderr += `\nstopped after ${Math.round(options.msMax)} ms`;
      for (const pid of processTree(child.pid!)) process.kill(pid, 'SIGKILL');
    }, options.msMax);
    const end = (code: number | null): void => {
      clearTimeout(late);
      resolve({ code, stdout, stderr });
    };
    child.once('error', (error) => {
      stderr += error.message;
      end(null);
    });
    child.once('close', (code) => end(code));
  });
}

/** The first need that is not met on this machine. */
export async function firstMissing({ needs }: Program): Promise<string | undefined> {
  for (const need of needs) {
    const line = need.includes(' ') ? need : `command -v ${need}`;
    const { code } = await execute(['sh', '-c', line], { cwd: here, msMax: 10_000 });
    if (code !== 0) return need;
  }
  return undefined;
}

/**
 * Builds and runs one in `env`, and prints its line: what it showed, in its own lines `ok …`. False, with its output, when
 * it ended with another code than 0, or was not done by the deadline (as `performance.now()` tells time).
 */
export async function runProgram(
  program: Program,
  env: Record<string, string>,
  deadlineMs: number,
): Promise<boolean> {
  const within = (msMax: number): number => Math.max(1, Math.min(msMax, deadlineMs - performance.now()));
  const cwd = join(here, program.name);
  const startedMs = performance.now();
  const seconds = (): string => `${((performance.now() - startedMs) / 1000).toFixed(1)} s`;
  const fail = (what: string, { stdout, stderr }: Outcome): false => {
    console.log(`FAIL ${program.name} (${seconds()}): ${what}`);
    console.log(`${stdout}${stderr}`.slice(-failureCharsMax).replace(/^/gm, '     '));
    return false;
  };
  for (const command of program.build) {
    const outcome = await execute(command, { cwd, msMax: within(buildMsMax) });
    if (outcome.code !== 0) return fail(`${command.join(' ')} ended with ${outcome.code}`, outcome);
  }
  const built = seconds();
  const outcome = await execute(program.start, { cwd, env, msMax: within(runMsMax) });
  const shown = [...outcome.stdout.matchAll(/^ok (.*)$/gm)].map((match) => match[1]);
  if (outcome.code !== 0 || shown.length === 0) return fail(`ended with ${outcome.code}`, outcome);
  console.log(`pass ${program.name} (built in ${built}, ${seconds()} in all): ${shown.join('; ')}`);
  return true;
}
