/**
 * The product as a user starts it: `foretoken` as a process of its own, with all it spawns. Invariant: whatever a test
 * does, nothing that it started here outlives it.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { processTree, survivorsAfter } from './process-tree.ts';

const entryPath = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));

/** The promise of the product: Ctrl-C ends everything within this. */
export const stopMsMax = 3_000;
/** A busy machine may take this long to start; no promise, only an end to waiting. */
const startMsMax = 90_000;

/** Who runs what is registered there when all is over: a test, or a program that is none. */
export type Cleanup = Pick<TestContext, 'after'>;

export interface StartOptions {
  /** Added to an environment without settings of ours. undefined takes a variable out. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** A command that runs ours: `unshare -rm …`. */
  readonly wrap?: readonly string[];
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ForetokenProcess {
  readonly pid: number;
  /** All that was written so far. */
  stdout(): string;
  stderr(): string;
  readonly exited: Promise<Exit>;
  kill(signal: NodeJS.Signals): void;
  /** Its pid and those of all below it, now. */
  tree(): number[];
  /** The first match in one of its outputs. Rejects, with all of its output, when it ends or says nothing of the kind. */
  said(stream: 'stdout' | 'stderr', pattern: RegExp): Promise<RegExpExecArray>;
}

/** Starts `foretoken ...args`. It and its descendants are killed after the test. */
export function startForetoken(
  t: Cleanup,
  args: readonly string[],
  { env = {}, wrap = [] }: StartOptions = {},
): ForetokenProcess {
  const [command, ...rest] = [...wrap, process.execPath, entryPath, ...args];
  const child = spawn(command!, rest, { env: childEnvironment(env), stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
    });
  }
  const exited = exitOf(child);
  let ended = false;
  void exited.then(() => (ended = true));
  const known = new Set<number>();
  const tree = (): number[] => {
    if (!ended) for (const pid of processTree(child.pid!)) known.add(pid);
    return [...known];
  };
  t.after(async () => {
    for (const pid of tree()) killQuietly(pid);
    await exited;
  });
  return {
    pid: child.pid!,
    stdout: () => output.stdout,
    stderr: () => output.stderr,
    exited,
    kill: (signal) => void child.kill(signal),
    tree,
    said: (name, pattern) =>
      new Promise((resolve, reject) => {
        const fail = (what: string): void =>
          reject(new Error(`foretoken ${what} before ${pattern}:\n${output.stdout}${output.stderr}`));
        const late = setTimeout(() => fail('said nothing'), startMsMax);
        const check = (): boolean => {
          const match = pattern.exec(output[name]);
          if (match === null) return false;
          clearTimeout(late);
          child[name].off('data', check);
          resolve(match);
          return true;
        };
        if (check()) return;
        child[name].on('data', check);
        void exited.then(() => {
          clearTimeout(late);
          if (!check()) fail('ended');
        });
      }),
  };
}

export interface GatewayProcess extends ForetokenProcess {
  /** http://127.0.0.1:…/v1 */
  readonly baseUrl: string;
  readonly origin: string;
  /** Ctrl-C; asserts that it ends as promised: exit code 0, nothing left, in time. */
  stop(): Promise<void>;
}

/** Starts a gateway on a free port and waits until it is ready. */
export async function startGateway(
  t: Cleanup,
  args: readonly string[],
  options: StartOptions = {},
): Promise<GatewayProcess> {
  const gateway = startForetoken(t, ['--port', '0', ...args], options);
  const [, baseUrl] = await gateway.said('stdout', /^ready +(http:\S+\/v1) .*Ctrl-C stops it/ms);
  return {
    ...gateway,
    baseUrl: baseUrl!,
    origin: new URL(baseUrl!).origin,
    async stop() {
      const tree = gateway.tree();
      gateway.kill('SIGINT');
      await assertGone(tree);
      assert.deepEqual(await gateway.exited, { code: 0, signal: null }, gateway.stderr());
    },
  };
}

export interface WorkerNodeProcess extends ForetokenProcess {
  readonly origin: string;
}

/** Starts `foretoken worker` and waits until it serves. Port 0 takes a free one. */
export async function startWorkerProcess(
  t: Cleanup,
  args: readonly string[],
  options: StartOptions & { readonly port?: number } = {},
): Promise<WorkerNodeProcess> {
  const listen = ['--listen', `127.0.0.1:${options.port ?? 0}`];
  const worker = startForetoken(t, ['worker', ...listen, ...args], options);
  const [, origin] = await worker.said('stderr', /"origin":"(http:[^"]+)".*worker serves/);
  return { ...worker, origin: origin! };
}

/** Asserts that none of the processes runs any more within the promised time. */
export async function assertGone(pids: readonly number[]): Promise<void> {
  const left = await survivorsAfter(pids, stopMsMax);
  assert.deepEqual(left, [], `processes survive after ${stopMsMax} ms`);
}

function exitOf(child: ChildProcess): Promise<Exit> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    // close: its output is complete.
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
}

function childEnvironment(env: StartOptions['env']): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !name.startsWith('FORETOKEN_') && name !== 'LOG_LEVEL' && name !== 'NODE_TEST_CONTEXT',
  );
  return { ...Object.fromEntries(inherited), ...env };
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone already.
  }
}
