import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { findApiKey, loadApiKeys, makeApiKey } from '../../src/api-keys.ts';

const none = { requestsPerMin: null, tokensPerMin: null, parallel: null };

async function keyFile(t: TestContext, text: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'foretoken-keys-'));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, 'keys.txt');
  await writeFile(path, text);
  return path;
}

test('makeApiKey gives a key that its line recognises', async (t) => {
  const { key, line } = makeApiKey('ann');
  assert.match(key, /^ftk-[\w-]{43}$/);
  assert.ok(!line.includes(key));
  const keys = await loadApiKeys(await keyFile(t, `# mine\n\n${line} parallel=3 # few\r\n`), {
    ...none,
    requestsPerMin: 9,
  });
  assert.equal(findApiKey(keys, key), keys[0]);
  assert.equal(findApiKey(keys, `${key}x`), null);
  assert.equal(keys[0]!.name, 'ann');
  assert.match(keys[0]!.id, /^key-[0-9a-f]{16}$/);
  assert.deepEqual(keys[0]!.limits, { requestsPerMin: 9, tokensPerMin: null, parallel: 3 });
  assert.notEqual(makeApiKey(null).key, key);
});

test('loadApiKeys takes a list of keys and tells them apart', async () => {
  const keys = await loadApiKeys(' first-secret-key-1, second-secret-key-2,', none);
  assert.equal(keys.length, 2);
  assert.equal(findApiKey(keys, 'second-secret-key-2'), keys[1]);
  assert.equal(findApiKey(keys, ''), null);
});

test('loadApiKeys refuses what cannot be meant, and never repeats a secret', async (t) => {
  const line = `sha256:${'a'.repeat(64)}`;
  const cases: [string, RegExp][] = [
    ['short-secret', /16 to 256 printable/],
    ['twice-secret-key-1,twice-secret-key-1', /twice/],
    ['/nowhere/at/all', /cannot be read/],
    [await keyFile(t, '# nothing\n'), /holds no key/],
    [await keyFile(t, `${line}\nplain-secret-key-123\n`), /line 2: it must begin with sha256:/],
    [await keyFile(t, `${line} parallel=0`), /'parallel=0' is not/],
    [await keyFile(t, `${line} rpm=5`), /'rpm=5' is not name=…, requests-per-min=/],
    [await keyFile(t, 'x'.repeat(1024 * 512 + 1)), /larger than/],
  ];
  for (const [source, message] of cases) {
    await assert.rejects(loadApiKeys(source, none), (error: Error) => {
      assert.match(error.message, message);
      return !error.message.includes('secret');
    });
  }
});
