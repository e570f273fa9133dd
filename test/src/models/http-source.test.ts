/** Downloads over HTTP against a loopback server that cuts, lies, stalls and redirects. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { CatalogEntry } from '../../../src/models/catalog.ts';
import { type PullOptions, pullModel } from '../../../src/models/pull.ts';
import { PullError, type PullErrorCode } from '../../../src/models/pull-error.ts';
import type { StoredModel } from '../../../src/models/store.ts';
import { type FileServer, openFileServer, type ServedFile } from '../../support/file-server.ts';
import {
  entryFor,
  type ModelHome,
  madeContent,
  openModelHome,
  quickLimits,
  sha256Of,
} from '../../support/model-home.ts';

const content = madeContent(300_000);
let home: ModelHome;
let server: FileServer;

beforeEach(async () => {
  home = await openModelHome();
});
afterEach(async () => {
  await server?.close();
  home.remove();
});

const serve = async (files: Record<string, ServedFile>) => {
  server = await openFileServer(files);
};
const pull = (entry: CatalogEntry, options: PullOptions = {}): Promise<StoredModel> =>
  pullModel(entry, home.store, {
    limits: quickLimits,
    hubOrigin: server?.origin,
    onProgress: ({ bytes }) => server.arrived(bytes),
    ...options,
  });
const fromServer = (path: string, overrides: Partial<CatalogEntry> = {}) =>
  entryFor(content, [`${server.origin}${path}`], overrides);

/** The one failure of the one source. */
const failsWith = (running: Promise<unknown>, code: PullErrorCode, message = /./) =>
  assert.rejects(running, (error) => {
    assert.ok(error instanceof PullError, String(error));
    const failure = error.code === 'no_source' ? error.failures[0]! : error;
    assert.equal(failure.code, code, error.message);
    assert.match(failure.message, message);
    return true;
  });

const stored = (model: StoredModel) => {
  assert.deepEqual(new Uint8Array(readFileSync(model.path)), new Uint8Array(content));
  assert.deepEqual(home.files(), ['made-up.json', `${sha256Of(content)}.gguf`].sort());
};

/** Where the part of the entry's first source lies; makes its folder. */
async function partPath(entry: CatalogEntry): Promise<string> {
  const folder = home.store.incoming(entry.name);
  await mkdir(folder, { recursive: true });
  return join(folder, `${sha256Of(Buffer.from(entry.sources[0]!)).slice(0, 16)}.part`);
}

describe('fetchHttp', () => {
  it('downloads once and leaves nothing else behind', async () => {
    await serve({ '/m': { content } });
    const model = await pull(fromServer('/m'));
    stored(model);
    await pull(fromServer('/m'));
    assert.equal(server.requests.length, 1);
  });

  it('goes on from where the connection was cut', async () => {
    await serve({ '/m': { content, cuts: [100_000, 50_000] } });
    stored(await pull(fromServer('/m')));
    assert.deepEqual(
      server.requests.map((request) => request.range),
      [null, 'bytes=100000-', 'bytes=150000-'],
    );
  });

  it('begins again where ranges are ignored', async () => {
    await serve({ '/m': { content, ranges: false, cuts: [100_000] } });
    stored(await pull(fromServer('/m')));
  });

  it('begins again where the range answered is not the one asked for', async () => {
    await serve({ '/m': { content, cuts: [100_000], lieAboutRange: true } });
    stored(await pull(fromServer('/m')));
    assert.deepEqual(
      server.requests.map((request) => request.range),
      [null, 'bytes=100000-', null],
    );
  });

  it('stops after a few tries that bring nothing', async () => {
    await serve({ '/m': { content, cuts: [1000, ...Array<number>(20).fill(0)] } });
    await failsWith(pull(fromServer('/m')), 'unreachable', /UND_ERR_SOCKET/);
    assert.equal(server.requests.length, 4);
  });

  it('retries a server in trouble, and not one that says no', async () => {
    await serve({ '/m': { content, statuses: [503, 429] }, '/no': { content, statuses: [403] } });
    stored(await pull(fromServer('/m')));
    await failsWith(
      pull(fromServer('/no', { name: 'other', sha256: '0'.repeat(64) })),
      'http_status',
      /403.*login/,
    );
    assert.equal(server.requests.length, 4);
  });

  it('follows a redirect and refuses a loop', async () => {
    await serve({
      '/a': { content, redirectTo: '/b' },
      '/b': { content, redirectTo: '/m' },
      '/m': { content },
      '/loop': { content, redirectTo: '/loop' },
    });
    stored(await pull(fromServer('/a')));
    const loop = fromServer('/loop', { name: 'other', sha256: '0'.repeat(64) });
    await failsWith(pull(loop), 'http_status', /redirects more than 5/);
  });

  it('refuses a redirect to plain http elsewhere when no sum is known', async () => {
    await serve({ '/a': { content, redirectTo: 'http://192.0.2.1/m' } });
    await failsWith(pull(fromServer('/a', { sha256: null })), 'bad_source', /not https/);
  });

  it('takes and records the sum that the hub states, and refuses a file with another', async () => {
    const linked = (sha256: string) => ({
      'x-linked-etag': `"${sha256}"`,
      'x-linked-size': String(content.byteLength),
    });
    await serve({
      '/o/r/resolve/main/good.gguf': { content, redirectTo: '/cdn', headers: linked(sha256Of(content)) },
      '/o/r/resolve/main/bad.gguf': { content, redirectTo: '/cdn', headers: linked('0'.repeat(64)) },
      '/cdn': { content, cuts: [50_000] },
    });
    const lines: string[] = [];
    const log = { info: (line: string) => void lines.push(line), warn() {} };
    stored(await pull(entryFor(content, ['hf:o/r/good.gguf'], { sha256: null, bytes: 1 }), { log }));
    assert.ok(lines.some((line) => line.includes(sha256Of(content)) && line.includes('as its hub states')));
    assert.deepEqual(
      server.requests.map(({ path, range }) => [path.slice(-4), range]),
      [
        ['gguf', null],
        ['/cdn', null],
        ['gguf', null],
        ['/cdn', 'bytes=50000-'],
      ],
    );
    await failsWith(pull(entryFor(content, ['hf:o/r/bad.gguf'], { name: 'bad', sha256: null })), 'wrong_sum');
  });

  it('resumes an unpinned file only while its ETag stays', async () => {
    const changing = { content, etag: '"one"', cuts: [100_000, 20_000] };
    await serve({ '/m': changing });
    const once = { ...quickLimits, fruitlessTriesMax: 1, triesMax: 1 };
    const entry = fromServer('/m', { sha256: null });
    await failsWith(pull(entry, { limits: once }), 'unreachable');
    changing.etag = '"two"';
    stored(await pull(entry));
    assert.deepEqual(
      server.requests.map((request) => request.ifRange),
      [null, '"one"', '"two"'],
    );
  });

  it('refuses a file of another size before its body, and an endless one at the limit', async () => {
    await serve({ '/m': { content }, '/endless': { content, chunked: true } });
    await failsWith(pull(fromServer('/m', { bytes: 5 })), 'wrong_size', /another file/);
    await failsWith(pull(fromServer('/endless', { bytes: 100_000 })), 'wrong_size', /more than the 100000/);
    assert.deepEqual(home.files(), []);
  });

  it('gives up on a stalled body and goes on', async () => {
    await serve({ '/m': { content, stallAfter: 200_000 } });
    const limits = { ...quickLimits, stallTimeoutMs: 100, triesMax: 1 };
    await failsWith(pull(fromServer('/m'), { limits }), 'unreachable', /BODY_TIMEOUT/);
    assert.equal(home.files().filter((file) => file.endsWith('.part')).length, 1);
  });

  it('stops on abort at once and keeps only what can be gone on with', async () => {
    const stalled: { -readonly [K in keyof ServedFile]: ServedFile[K] } = { content, stallAfter: 200_000 };
    await serve({ '/m': stalled });
    const stop = new AbortController();
    const running = pull(fromServer('/m'), {
      signal: stop.signal,
      onProgress: ({ bytes }) => bytes === 200_000 && stop.abort(),
    });
    await failsWith(running, 'aborted');
    assert.deepEqual(
      home.files().map((file) => file.replace(/[0-9a-f]{16}/, 'X')),
      ['incoming/made-up/X.part', 'incoming/made-up/X.part.json'],
    );
    delete stalled.stallAfter;
    stored(await pull(fromServer('/m')));
    assert.equal(server.requests.at(-1)!.range, 'bytes=200000-');
  });

  it('asks for nothing when it was stopped after the last byte', async () => {
    await serve({ '/m': { content } });
    const part = await partPath(fromServer('/m'));
    writeFileSync(part, content);
    writeFileSync(`${part}.json`, JSON.stringify({ identity: sha256Of(content) }));
    stored(await pull(fromServer('/m')));
    assert.equal(server.requests.length, 0);
  });

  it('begins again when what lay there was damaged', async () => {
    await serve({ '/m': { content, cuts: [100_000] } });
    await failsWith(pull(fromServer('/m'), { limits: { ...quickLimits, triesMax: 1 } }), 'unreachable');
    const part = home.files().find((file) => file.endsWith('.part'))!;
    const damaged = Buffer.alloc(100_000, 7);
    writeFileSync(join(home.store.directory, part), damaged);
    stored(await pull(fromServer('/m')));
    assert.equal(server.requests.length, 3);
  });

  it('says what to do when the disk is full, and keeps nothing', {
    skip: !existsSync('/dev/full'),
  }, async () => {
    await serve({ '/m': { content } });
    const entry = fromServer('/m');
    const part = await partPath(entry);
    // A device that is always full takes the place of the part.
    symlinkSync('/dev/full', part);
    writeFileSync(`${part}.json`, JSON.stringify({ identity: 'x' }));
    await failsWith(pull(entry), 'disk_full', /FORETOKEN_HOME/);
    assert.deepEqual(home.files(), []);
  });
});

describe('pullModel, of several sources', () => {
  it('skips one that refuses, hangs in its handshake or never answers within its time', async () => {
    await serve({ '/m': { content } });
    const mute = createServer(() => {});
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
    const port = (mute.address() as { port: number }).port;
    const sources = ['http://127.0.0.1:1/m', `https://127.0.0.1:${port}/m`, `http://127.0.0.1:${port}/m`];
    const started = performance.now();
    stored(await pull(entryFor(content, [...sources, `${server.origin}/m`])));
    assert.ok(performance.now() - started < 5_000);
    mute.close();
  });

  it('takes the next one after a wrong sum', async () => {
    const other = madeContent(content.byteLength);
    await serve({ '/bad': { content: other }, '/m': { content } });
    const model = await pull(entryFor(content, [`${server.origin}/bad`, `${server.origin}/m`]));
    stored(model);
    assert.equal(model.source, `${server.origin}/m`);
  });

  it('tells about each one when all fail', async () => {
    const other = madeContent(content.byteLength);
    await serve({ '/bad': { content: other } });
    const entry = entryFor(content, [`${server.origin}/gone`, `${server.origin}/bad`]);
    await assert.rejects(pull(entry), (error) => {
      assert.ok(error instanceof PullError && error.code === 'no_source');
      assert.match(error.message, /404[\s\S]*sha256[\s\S]*FORETOKEN_MODEL/);
      return true;
    });
    assert.deepEqual(home.files(), []);
  });
});
