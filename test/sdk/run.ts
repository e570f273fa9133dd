/**
 * `npm run test:sdk`: one real gateway with the default model, and one small program in each language that talks to it
 * through the client its users have. Invariant: every program compares with the same greedy answer, fetched here without
 * any client. A language whose tools are missing is skipped with a printed line; names as arguments run only those.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startGateway } from '../support/gateway-process.ts';
import { realHome, realModelPath } from '../support/real-model.ts';

interface Program {
  /** Its folder, too. */
  readonly name: string;
  /** Commands without which it cannot run. */
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
/** The first build of a language fetches and compiles its packages. */
const buildMsMax = 8 * 60_000;
/** Some thirty short answers on a busy machine. */
const runMsMax = 4 * 60_000;
/** What a failing program says last is what matters. */
const failureCharsMax = 6_000;

const node = process.execPath;
const npmCi = ['npm', 'ci', '--no-fund', '--no-audit', '--ignore-scripts', '--prefer-offline', '--silent'];
const pip = ['.venv/bin/python', '-m', 'pip', 'install', '-q', '--disable-pip-version-check'];

const programs: readonly Program[] = [
  { name: 'curl', needs: ['curl', 'jq', 'bash'], build: [], start: ['bash', 'main.sh'] },
  { name: 'node', needs: ['npm'], build: [npmCi], start: [node, 'main.ts'] },
  { name: 'vercel', needs: ['npm'], build: [npmCi], start: [node, 'main.ts'] },
  {
    name: 'python',
    needs: ['python3'],
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

/** Never rejects: a command that cannot be started has the code null. Killed, with what it started, after `msMax`. */
function execute(
  [command, ...args]: readonly string[],
  options: { cwd: string; env?: Record<string, string>; msMax: number },
): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn(command!, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const late = setTimeout(() => {
      stderr += `\nstopped after ${options.msMax} ms`;
      process.kill(-child.pid!, 'SIGKILL');
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

async function firstMissing({ needs }: Program): Promise<string | undefined> {
  for (const need of needs) {
    const { code } = await execute(['sh', '-c', `command -v ${need}`], { cwd: here, msMax: 10_000 });
    if (code !== 0) return need;
  }
  return undefined;
}

/** Builds and runs one; prints its line. A program says what it showed in lines `ok …`, and else ends with a code. */
async function runProgram(program: Program, env: Record<string, string>): Promise<boolean> {
  const cwd = join(here, program.name);
  const startedMs = performance.now();
  const seconds = (): string => `${((performance.now() - startedMs) / 1000).toFixed(1)} s`;
  const fail = (what: string, { stdout, stderr }: Outcome): false => {
    console.log(`FAIL ${program.name} (${seconds()}): ${what}`);
    console.log(`${stdout}${stderr}`.slice(-failureCharsMax).replace(/^/gm, '     '));
    return false;
  };
  for (const command of program.build) {
    const outcome = await execute(command, { cwd, msMax: buildMsMax });
    if (outcome.code !== 0) return fail(`${command.join(' ')} ended with ${outcome.code}`, outcome);
  }
  const built = seconds();
  const outcome = await execute(program.start, { cwd, env, msMax: runMsMax });
  const shown = [...outcome.stdout.matchAll(/^ok (.*)$/gm)].map((match) => match[1]);
  if (outcome.code !== 0 || shown.length === 0) return fail(`ended with ${outcome.code}`, outcome);
  console.log(`pass ${program.name} (built in ${built}, ${seconds()} in all): ${shown.join('; ')}`);
  return true;
}

/** What every program has to find again: a greedy answer, ended by itself, with a letter of two bytes. */
async function greedyAnswer(baseUrl: string, key: string, model: string, prompt: string): Promise<string> {
  const response = await fetch(`${baseUrl}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
    body: JSON.stringify({
      model,
      messages: [{ role: 'user', content: prompt }],
      temperature: 0,
      max_tokens: 60,
    }),
  });
  const body = await response.json();
  if (body.choices?.[0].finish_reason !== 'stop') throw new Error(JSON.stringify(body));
  return body.choices[0].message.content;
}

async function main(wanted: readonly string[]): Promise<boolean> {
  const unknown = wanted.find((name) => !programs.some((program) => program.name === name));
  if (unknown !== undefined) throw new Error(`no program is called ${unknown}`);
  const chosen = programs.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
  if ((await realModelPath()) === null) {
    for (const { name } of chosen) console.log(`skip ${name}: the default model cannot be had here`);
    console.log(`0 passed, 0 failed, ${chosen.length} skipped`);
    return true;
  }

  const endings: (() => unknown)[] = [];
  const home = await mkdtemp(join(tmpdir(), 'foretoken-sdk-'));
  const count = { passed: 0, failed: 0, skipped: 0 };
  try {
    const key = `sk-${randomBytes(24).toString('base64url')}`;
    // The user's models and packs, but responses of its own.
    for (const folder of ['models', 'packs']) {
      await mkdir(join(realHome(), folder), { recursive: true });
      await symlink(join(realHome(), folder), join(home, folder));
    }
    const gateway = await startGateway({ after: (ending) => endings.push(ending) }, [], {
      env: {
        FORETOKEN_HOME: home,
        FORETOKEN_API_KEYS: key,
        FORETOKEN_KEY_REQUESTS_PER_MIN: '10000',
      },
    });
    const model = 'smollm2-135m-instruct';
    const prompt = 'Write a haiku about a café.';
    const env = {
      OPENAI_BASE_URL: gateway.baseUrl,
      OPENAI_API_KEY: key,
      SDK_MODEL: model,
      SDK_PROMPT: prompt,
      SDK_ANSWER: await greedyAnswer(gateway.baseUrl, key, model, prompt),
    };
    console.log(`gateway ${gateway.baseUrl}, ${model}; greedy answer: ${JSON.stringify(env.SDK_ANSWER)}`);
    for (const program of chosen) {
      const missing = await firstMissing(program);
      if (missing !== undefined) {
        console.log(`skip ${program.name}: there is no ${missing} on this machine`);
        count.skipped += 1;
      } else if (await runProgram(program, env)) count.passed += 1;
      else count.failed += 1;
    }
    await gateway.stop();
  } finally {
    for (const ending of endings) await ending();
    await rm(home, { recursive: true, force: true });
  }
  console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
  return count.failed === 0;
}

process.exitCode = (await main(process.argv.slice(2))) ? 0 : 1;
