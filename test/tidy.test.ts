/**
 * The shape of the house as a test: who may import whom, who may touch the environment, the process and sockets, and
 * that nothing lies about unused. Reads files as text; a rule that it cannot check is in CONTRIBUTING.md.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((path) => path !== '');
const product = tracked.filter((path) => /^(routes|src|shards)\/.*\.ts$/.test(path));
const typescript = tracked.filter((path) => path.endsWith('.ts'));
const textOf = new Map(typescript.map((path) => [path, readFileSync(join(root, path), 'utf8')]));

/** Anything larger is data that belongs elsewhere; trained draft heads are what we ship. */
const blobBytesMax = 1 << 20;
const blobsAllowed = /^(assets\/draft-heads\/|package-lock\.json$)/;

interface Import {
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
}

function importsOf(path: string): Import[] {
  const pattern = /^(?:import|export)\s+(type\s+)?[^;]*?from\s+'(\.[^']+)'|import\('(\.[^']+)'\)/gms;
  return [...textOf.get(path)!.matchAll(pattern)].map((match) => ({
    from: path,
    to: normalize(join(dirname(path), match[2] ?? match[3]!)),
    typeOnly: match[1] !== undefined,
  }));
}

const imports = product.flatMap(importsOf);
const layerOf = (path: string): number => ['shards', 'src', 'routes'].indexOf(path.split('/')[0]!);

test('imports follow the request: routes → src → shards', () => {
  const upward = imports.filter(({ from, to }) => layerOf(to) > layerOf(from) && from !== 'src/app.ts');
  assert.deepEqual(
    upward.map(({ from, to }) => `${from} → ${to}`),
    [],
  );
});

test('text, drafting, cluster and models never import one another', () => {
  const islands = ['src/text/', 'src/drafting/', 'src/cluster/', 'src/models/'];
  const islandOf = (path: string): string | undefined => islands.find((island) => path.startsWith(island));
  const crossing = imports.filter(({ from, to }) => {
    const [a, b] = [islandOf(from), islandOf(to)];
    return a !== undefined && b !== undefined && a !== b;
  });
  assert.deepEqual(
    crossing.map(({ from, to }) => `${from} → ${to}`),
    [],
  );
});

test('responses know of the rest what an answer is, and no more', () => {
  const answer = ['src/completion.ts', 'src/errors.ts', 'src/token-logprobs.ts'];
  const calls = ['call-form', 'tool-messages', 'tool-call-parser'].map((name) => `src/text/${name}.ts`);
  const known = [...answer, ...calls];
  const beyond = imports.filter(({ from, to }) => {
    return from.startsWith('src/responses/') && !to.startsWith('src/responses/') && !known.includes(to);
  });
  assert.deepEqual(
    beyond.map(({ from, to }) => `${from} → ${to}`),
    [],
  );
});

test('imports have no cycles', () => {
  const edges = new Map<string, string[]>();
  for (const { from, to, typeOnly } of imports)
    if (!typeOnly) edges.set(from, [...(edges.get(from) ?? []), to]);
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    assert.ok(!trail.includes(path), `cycle: ${[...trail, path].join(' → ')}`);
    if (done.has(path)) return;
    for (const next of edges.get(path) ?? []) visit(next, [...trail, path]);
    done.add(path);
  };
  for (const path of product) visit(path, []);
});

test('no file passes on what another exports', () => {
  const passing = product.filter((path) =>
    /^export\s+(\*|type\s*\{|\{)[^;]*from\s+'/ms.test(textOf.get(path)!),
  );
  assert.deepEqual(passing, []);
});

function codeOf(path: string): string {
  return textOf.get(path)!.replace(/\/\*.*?\*\/|^\s*\/\/.*?$/gms, '');
}

/** Files of the product, outside `allowed`, whose code matches. */
function offenders(pattern: RegExp, allowed: readonly string[]): string[] {
  return product.filter((path) => !allowed.includes(path) && pattern.test(codeOf(path)));
}

test('only config.ts reads the environment', () => {
  assert.deepEqual(offenders(/process\.env\b/, ['src/config.ts']), []);
});

test('only cli.ts ends the process', () => {
  assert.deepEqual(offenders(/process\.(exit|abort)\(|process\.exitCode/, ['src/cli.ts']), []);
});

test('only connection.ts opens sockets to shards', () => {
  const pattern = /import\s*\{[^}]*\bconnect\b[^}]*\}\s*from\s*'node:(http2|net|tls)'/;
  assert.deepEqual(offenders(pattern, ['shards/connection.ts']), []);
});

test('shards know no clock but the one that they are handed', () => {
  const inShards = offenders(/\bDate\.now\(|\bsetTimeout\(|\bsetInterval\(/, ['shards/clock.ts']).filter(
    (path) => path.startsWith('shards/'),
  );
  assert.deepEqual(inShards, []);
});

test('every file opens with what it is', () => {
  const silent = product.filter((path) => !textOf.get(path)!.startsWith('/**'));
  assert.deepEqual(silent, []);
});

test('file names are nouns of the field, in kebab case', () => {
  const vague = /^(index|utils?|helpers?|common|types|manager|service|base|impl|misc)\.ts$/;
  const bad = product
    .map((path) => basename(path))
    .filter((name) => vague.test(name) || !/^[a-z0-9-]+\.ts$/.test(name));
  assert.deepEqual(bad, []);
});

test('every export is used by another file', () => {
  const unused: string[] = [];
  for (const path of product) {
    for (const match of textOf
      .get(path)!
      .matchAll(/^export\s+(?:async\s+)?(?:function|const|class)\s+(\w+)/gm)) {
      const name = new RegExp(`\\b${match[1]}\\b`);
      const used = typescript.some((other) => other !== path && name.test(textOf.get(other)!));
      if (!used) unused.push(`${path}: ${match[1]}`);
    }
  }
  assert.deepEqual(unused, []);
});

test('no large file is tracked but trained heads', () => {
  const large = tracked.filter(
    (path) => !blobsAllowed.test(path) && statSync(join(root, path)).size > blobBytesMax,
  );
  assert.deepEqual(large, []);
});
