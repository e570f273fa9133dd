import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { envExample } from '../../scripts/env-example.ts';
import { ConfigError, loadConfig, loadWorkerConfig, parseBytes } from '../../src/config.ts';
import { gatewaySettings, workerSettings } from '../../src/settings.ts';

function problemsOf(load: () => unknown): string {
  try {
    load();
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.message;
  }
  return assert.fail('must throw');
}

test('loadConfig gives every default, frozen', () => {
  const config = loadConfig({ HOME: '/home/someone' }, {});
  assert.deepEqual(config, {
    host: '127.0.0.1',
    port: 8000,
    allowPublic: false,
    corsOrigins: [],
    apiKeys: null,
    keyRequestsPerMin: null,
    keyTokensPerMin: null,
    keyParallel: null,
    sharedPrefixes: false,
    adminKey: null,
    sessionsMax: 32,
    scheduling: 'laps',
    queueMax: 128,
    model: 'smollm2-135m-instruct',
    draft: 'auto',
    drainS: 20,
    home: '/home/someone/.cache/foretoken',
    storeBytes: 268_435_456,
    context: null,
    quantisation: 'native',
    shards: 2,
    workers: [],
    clusterKey: null,
    topology: 'chain',
    kvBytes: 2 ** 30,
    batchSessions: 8,
    batchGraphs: 'auto',
    threads: 0,
    logLevel: 'info',
  });
  assert.ok(Object.isFrozen(config) && Object.isFrozen(config.workers));
});

test('loadConfig reads variables, and flags win over them', () => {
  const env = {
    FORETOKEN_PORT: '9001',
    FORETOKEN_SHARDS: '',
    FORETOKEN_WORKERS: 'http://a:1/, http://b:2',
    LOG_LEVEL: 'debug',
  };
  const config = loadConfig(env, { port: '9002', kvBytes: '512MiB', quant: 'fp32', allowPublic: true });
  assert.equal(config.port, 9002);
  assert.equal(config.shards, 2);
  assert.deepEqual(config.workers, ['http://a:1', 'http://b:2']);
  assert.equal(config.kvBytes, 512 * 2 ** 20);
  assert.equal(config.quantisation, 'fp32');
  assert.equal(config.logLevel, 'debug');
  assert.equal(config.allowPublic, true);
});

test('loadConfig suggests the nearest name for an unknown variable or flag', () => {
  const message = problemsOf(() => loadConfig({ FORETOKEN_PROT: '1', FORETOKEN_XYZZYX: '' }, { shard: '3' }));
  assert.match(message, /FORETOKEN_PROT is not a setting\. Did you mean FORETOKEN_PORT\?/);
  assert.match(message, /FORETOKEN_XYZZYX is not a setting\. See --help\./);
  assert.match(message, /--shard is not a setting\. Did you mean --shards\?/);
});

test('loadConfig tells variable, value and what is expected of each bad value', () => {
  const env = {
    FORETOKEN_PORT: '70000',
    FORETOKEN_SHARDS: 'two',
    FORETOKEN_TOPOLOGY: 'ring',
    FORETOKEN_KV_BYTES: '1 parsec',
    FORETOKEN_ALLOW_PUBLIC: 'maybe',
    FORETOKEN_WORKERS: 'http://user:pw@host',
    LOG_LEVEL: 'loud',
  };
  const message = problemsOf(() => loadConfig(env, {}));
  for (const [name, value] of Object.entries(env)) {
    assert.ok(message.includes(`${name}=${value} cannot be used. Expected `), name);
  }
});

test('loadConfig does not print secrets', () => {
  const message = problemsOf(() => loadConfig({ FORETOKEN_CLUSTER_KEY: 'hunter2' }, {}));
  assert.ok(message.includes('FORETOKEN_CLUSTER_KEY') && !message.includes('hunter2'));
});

test('loadConfig refuses a host beyond loopback unless told', () => {
  for (const host of ['0.0.0.0', '::', '192.168.1.2', 'example.org', '127.evil.org']) {
    assert.match(
      problemsOf(() => loadConfig({ FORETOKEN_HOST: host }, {})),
      /FORETOKEN_ALLOW_PUBLIC=1/,
    );
    assert.equal(loadConfig({ FORETOKEN_HOST: host, FORETOKEN_ALLOW_PUBLIC: '1' }, {}).host, host);
    assert.equal(loadConfig({ FORETOKEN_HOST: host, FORETOKEN_API_KEYS: './keys.txt' }, {}).host, host);
  }
  for (const host of ['localhost', '127.0.0.1', '127.9.9.9', '::1']) loadConfig({ FORETOKEN_HOST: host }, {});
});

test('loadWorkerConfig reads layers and address, and needs both a range and, beyond loopback, a key', () => {
  const flags = { layers: '0:15', listen: '[::1]:9100' };
  const config = loadWorkerConfig({ FORETOKEN_PORT: '8000' }, flags);
  assert.deepEqual(config.layers, { start: 0, end: 15 });
  assert.deepEqual(config.listen, { host: '::1', port: 9100 });
  assert.match(
    problemsOf(() => loadWorkerConfig({}, {})),
    /--layers \(or FORETOKEN_LAYERS\) must be given/,
  );
  assert.match(
    problemsOf(() => loadWorkerConfig({}, { layers: '7:7' })),
    /--layers=7:7 cannot be used/,
  );
  const open = { ...flags, listen: '0.0.0.0:9000' };
  assert.match(
    problemsOf(() => loadWorkerConfig({}, open)),
    /FORETOKEN_CLUSTER_KEY/,
  );
  loadWorkerConfig({ FORETOKEN_CLUSTER_KEY: 'k'.repeat(32) }, open);
});

test('parseBytes knows binary and decimal units', () => {
  assert.equal(parseBytes('1GiB'), 2 ** 30);
  assert.equal(parseBytes('1.5g'), 1.5 * 2 ** 30);
  assert.equal(parseBytes('2 GB'), 2e9);
  assert.equal(parseBytes('1048576'), 1048576);
  for (const text of ['', 'GiB', '-1', '1e9', '1 GiBs', '0x10']) assert.equal(parseBytes(text), undefined);
});

test('settings have distinct names, and a default that is accepted', () => {
  for (const settings of [gatewaySettings, workerSettings]) {
    assert.equal(new Set(settings.map((setting) => setting.env)).size, settings.length);
    assert.equal(new Set(settings.map((setting) => setting.flagKey)).size, settings.length);
  }
});

test('.env.example is what the settings say', async () => {
  const file = await readFile(new URL('../../.env.example', import.meta.url), 'utf8');
  assert.equal(file, envExample());
});
