/**
 * The official Python SDK in a folder of its own, which goes with the test: nothing of the user's Python is touched.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The version whose behaviour the tests were written against. */
const requirement = 'openai==3.54.0';
const installMsMax = 60_000;
const scriptMsMax = 60_000;

export interface PythonSdk {
  /** Runs a script with the SDK and parses what it prints. Throws with its stderr. */
  run(script: string, args: readonly string[]): Promise<unknown>;
}

/** Installs the SDK; a string says why it cannot be had here. */
export async function installPythonSdk(t: TestContext): Promise<PythonSdk | string> {
  const folder = await mkdtemp(join(tmpdir(), 'foretoken-python-'));
  t.after(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  const install = ['-m', 'pip', 'install', '--quiet', '--no-compile', '--no-warn-script-location'];
  try {
    await run('python3', [...install, '--target', folder, requirement], { timeout: installMsMax });
  } catch (error) {
    const { code, stderr } = error as NodeJS.ErrnoException & { stderr?: string };
    if (code === 'ENOENT') return 'there is no python3 on this machine';
    return `pip cannot install ${requirement}: ${stderr?.trim().split('\n').at(-1)}`;
  }
  const env = { ...process.env, PYTHONPATH: folder, PYTHONDONTWRITEBYTECODE: '1' };
  return {
    async run(script, args) {
      const { stdout } = await run('python3', [script, ...args], { env, timeout: scriptMsMax });
      return JSON.parse(stdout) as unknown;
    },
  };
}
