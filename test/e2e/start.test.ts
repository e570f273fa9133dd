/**
 * What a user meets first: the start, the request to paste, the second start, and the stop by Ctrl-C. As processes, on
 * the tiny model; the default model has its own file.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { makeHome } from '../support/e2e-home.ts';
import { startForetoken, startGateway } from '../support/gateway-process.ts';

const run = promisify(execFile);

/** Of a start that has nothing to fetch or pack: ten seconds are promised for a quiet machine; tests run on busy ones. */
const secondStartMsMax = 60_000;

test('foretoken serves, and starts again without packing', async (t) => {
  const home = await makeHome(t);
  const model = await home.tiny();
  const packs = join(home.env['FORETOKEN_HOME']!, 'packs');

  const first = await startGateway(t, ['--model', model], home);
  const screen = first.stdout();
  await t.test('the screen shows version, model, packing, shards and address', () => {
    assert.match(screen, /^Foretoken \d+\.\d+\.\d+$/m);
    assert.match(screen, /^model +tiny, .*sha256/m);
    assert.match(screen, /^shard +layers \[0, \d\): packing$/m);
    assert.match(screen, /^shard +layers \[0, \d\) at http:\/\/127\.0\.0\.1:\d+$/m);
    assert.match(screen, new RegExp(`^ready +${first.baseUrl} .* 2048 tokens$`, 'm'));
    assert.match(screen, new RegExp(`OPENAI_BASE_URL=${first.baseUrl}`));
  });

  await t.test('its curl line works as it is pasted', async (t) => {
    const [line] = /curl -N .*\n.*-d '.*'$/m.exec(screen) ?? [];
    assert.ok(line !== undefined, screen);
    const { stdout } = await run('sh', ['-c', line]).catch((error: NodeJS.ErrnoException) => {
      if (/not found/.test(error.message)) return { stdout: null };
      throw error;
    });
    if (stdout === null) return t.skip('there is no curl on this machine');
    assert.match(stdout, /^data: \{"id":"chatcmpl-.*\n\ndata: \[DONE\]\n\n$/s);
  });

  await t.test('a second program on its port is told so', async (t) => {
    const { port } = new URL(first.baseUrl);
    const other = startForetoken(t, ['--port', port, '--model', model], home);
    assert.deepEqual(await other.exited, { code: 1, signal: null });
    assert.match(other.stderr(), new RegExp(`port ${port} is taken.*--port`));
  });

  const packed = await changeTimes(packs);
  await first.stop();

  await t.test('the second start packs nothing and is quick', async (t) => {
    const startedMs = performance.now();
    const second = await startGateway(t, ['--model', model], home);
    const ms = performance.now() - startedMs;
    assert.ok(ms < secondStartMsMax, `took ${ms} ms`);
    assert.doesNotMatch(second.stdout(), /packing|pulling|downloading|checking/);
    assert.deepEqual(await changeTimes(packs), packed);
    await second.stop();
  });
});

/** name → when its content last changed, of all files below. */
async function changeTimes(folder: string): Promise<Record<string, number>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const times = await Promise.all(
    files.sort().map(async (path) => [path, (await stat(path)).mtimeMs] as const),
  );
  assert.ok(times.length > 0);
  return Object.fromEntries(times);
}
