/** The store on disk: records, sums by path, damage, rights, and two pullers at once. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  readFileSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { pullModel, resolveModel } from '../../../src/models/pull.ts';
import { PullError, type PullErrorCode } from '../../../src/models/pull-error.ts';
import { openStore } from '../../../src/models/store.ts';
import { holdLock } from '../../../src/models/store-lock.ts';
import { type FileServer, openFileServer } from '../../support/file-server.ts';
import { entryFor, type ModelHome, madeContent, openModelHome, sha256Of } from '../../support/model-home.ts';

const content = madeContent(100_000);
const never = new AbortController().signal;
let home: ModelHome;
let server: FileServer;

beforeEach(async () => {
  home = await openModelHome();
  server = await openFileServer({ '/m': { content } });
});
afterEach(async () => {
  await server.close();
  home.remove();
});

const entry = () => entryFor(content, [`${server.origin}/m`]);
const failsWith = (running: Promise<unknown>, code: PullErrorCode, message = /./) =>
  assert.rejects(running, (error) => {
    assert.ok(error instanceof PullError && error.code === code, String(error));
    assert.match(error.message, message);
    return true;
  });

describe('ModelStore', () => {
  it('records what was pulled, from where and when', async () => {
    const store = await openStore(home.home, () => Date.UTC(2025, 0, 2));
    await pullModel(entry(), store);
    assert.deepEqual(JSON.parse(readFileSync(join(store.directory, 'made-up.json'), 'utf8')), {
      ...{
        name: 'made-up',
        sha256: sha256Of(content),
        bytes: content.byteLength,
        source: `${server.origin}/m`,
      },
      pulledAt: '2025-01-02T00:00:00.000Z',
    });
  });

  it('pulls again when the file is gone or short, or the record torn', async () => {
    const { path } = await pullModel(entry(), home.store);
    truncateSync(path, 10);
    await pullModel(entry(), home.store);
    assert.equal(server.requests.length, 2);
    writeFileSync(join(home.store.directory, 'made-up.json'), '{"sha2');
    await pullModel(entry(), home.store);
    assert.equal(server.requests.length, 2, 'the file itself was sound');
  });

  it('finds damage of the same size when asked to verify, and mends it', async () => {
    const { path } = await pullModel(entry(), home.store);
    const damaged = readFileSync(path);
    damaged[50_000]! ^= 1;
    writeFileSync(path, damaged);
    await pullModel(entry(), home.store);
    assert.equal(server.requests.length, 1);
    await pullModel(entry(), home.store, { verify: true });
    assert.equal(server.requests.length, 2);
    assert.deepEqual(new Uint8Array(readFileSync(path)), new Uint8Array(content));
  });

  it('takes a file that was put there by hand, if it is the right one', async () => {
    const path = join(home.store.directory, `${sha256Of(content)}.gguf`);
    writeFileSync(path, content);
    assert.equal((await pullModel(entry(), home.store)).source, 'store');
    assert.equal(server.requests.length, 0);
  });

  it('pulls a model whose pinned sum has changed', async () => {
    await pullModel(entryFor(content, [`${server.origin}/m`], { sha256: null }), home.store);
    const newer = madeContent(100);
    const failing = pullModel(entryFor(newer, ['/no/such/file'], {}), home.store);
    await failsWith(failing, 'no_source', /not there/);
  });

  it('removes what a killed pull left', async () => {
    const folder = home.store.incoming('made-up');
    mkdirSync(join(folder, 'pip-abc'), { recursive: true });
    writeFileSync(join(folder, 'pip-abc', 'x.whl'), 'x');
    writeFileSync(join(folder, '0123456789abcdef.part'), 'x');
    await pullModel(entry(), home.store);
    assert.deepEqual(home.files(), ['made-up.json', `${sha256Of(content)}.gguf`].sort());
  });

  it('says so when it may not write', { skip: process.getuid?.() === 0 }, async () => {
    chmodSync(home.store.directory, 0o500);
    await failsWith(pullModel(entry(), home.store), 'no_permission', /FORETOKEN_HOME/);
    chmodSync(home.store.directory, 0o700);
  });

  it('says so when its home cannot be a folder', async () => {
    const file = join(home.home, 'file');
    writeFileSync(file, '');
    await failsWith(openStore(file), 'store_failed', /FORETOKEN_HOME/);
  });
});

describe('resolveModel', () => {
  it('sums a file given by path once, and again when it changed', async () => {
    const path = join(home.home, 'Mine.GGUF');
    writeFileSync(path, content);
    let reads = 0;
    const options = { store: home.store, onProgress: () => void reads++ };
    const first = await resolveModel(path, options);
    assert.deepEqual(first, {
      name: 'Mine',
      path,
      sha256: sha256Of(content),
      bytes: content.byteLength,
      entry: null,
    });
    const after = reads;
    assert.deepEqual(await resolveModel(path, options), first);
    assert.equal(reads, after);
    appendFileSync(path, 'x');
    assert.equal(
      (await resolveModel(path, options)).sha256,
      sha256Of(Buffer.concat([content, Buffer.from('x')])),
    );
  });

  it('remembers a bounded number of sums', async () => {
    for (let index = 0; index < 70; index++) {
      const path = join(home.home, `${index}.gguf`);
      writeFileSync(path, String(index));
      await home.store.sumOf(path, never);
    }
    const sums = JSON.parse(readFileSync(join(home.store.directory, 'sums.json'), 'utf8')) as unknown[];
    assert.equal(sums.length, 64);
  });

  it('refuses a path that is not there, a folder, and an unknown name', async () => {
    const options = { store: home.store };
    await failsWith(resolveModel('/no/such.gguf', options), 'not_a_file', /does not exist/);
    await failsWith(resolveModel(`${home.home}/`, options), 'not_a_file', /not a file/);
    await failsWith(
      resolveModel('smollm-135m-instruct', options),
      'unknown_model',
      /smollm2-135m-instruct\?/,
    );
  });

  it('resolves a name of the catalog to the stored file', async () => {
    const models = new Map([['made-up', entry()]]);
    const model = await resolveModel('made-up', { store: home.store, catalog: models });
    assert.equal(model.sha256, sha256Of(content));
    assert.equal(model.entry, models.get('made-up'));
  });
});

describe('holdLock', () => {
  const wait = { waitMs: 2_000, signal: never, onWait() {} };
  const leaveLock = (holder: object) => {
    const path = join(home.store.incoming('made-up'), 'lock');
    mkdirSync(home.store.incoming('made-up'), { recursive: true });
    writeFileSync(path, JSON.stringify(holder));
    return path;
  };

  it('lets one of two pullers download and the other wait for it', async () => {
    const lines: string[] = [];
    const log = { info: (line: string) => void lines.push(line), warn() {} };
    const other = await openStore(home.home);
    const [a, b] = await Promise.all([
      pullModel(entry(), home.store, { log }),
      pullModel(entry(), other, { log }),
    ]);
    assert.equal(a.path, b.path);
    assert.equal(server.requests.length, 1);
    assert.ok(lines.some((line) => line.includes('waiting for it')));
  });

  it('takes over from a dead process and from an earlier life of this one', async () => {
    const dead = spawnSync(process.execPath, ['-e', '']).pid;
    for (const pid of [dead, process.pid]) {
      const path = leaveLock({ pid, host: hostname(), token: 'gone' });
      await (await holdLock(path, wait)).release();
    }
  });

  it('takes over from another machine only after its lock grew old', async () => {
    const path = leaveLock({ pid: 1, host: 'elsewhere', token: 'there' });
    let told = 0;
    await failsWith(holdLock(path, { ...wait, waitMs: 50, onWait: () => void told++ }), 'locked', /too long/);
    assert.equal(told, 1);
    const old = new Date(Date.now() - 60_000);
    utimesSync(path, old, old);
    await (await holdLock(path, wait)).release();
  });

  it('stops waiting on abort', async () => {
    const path = leaveLock({ pid: 1, host: 'elsewhere', token: 'there' });
    const stop = new AbortController();
    const running = holdLock(path, { ...wait, signal: stop.signal, onWait: () => stop.abort() });
    await failsWith(running, 'aborted');
  });
});
