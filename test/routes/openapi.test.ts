/**
 * What a linter asks of openapi.yaml, and more: every route is there, says how it is called, answered and refused, has an
 * example of what it takes, and nothing is written twice that has a name.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import Ajv from 'ajv/dist/2020.js';
import { Value } from 'typebox/value';
import { parse } from 'yaml';
import { finishDocument } from '../../routes/api-document.ts';
import { ErrorBody } from '../../routes/schemas.ts';
import { openapiYaml } from '../../scripts/openapi.ts';
import { openEdge } from '../support/edge.ts';

type Node = Record<string, unknown>;

interface Operation extends Node {
  readonly operationId?: string;
  readonly summary?: string;
  readonly tags?: readonly string[];
  readonly security?: readonly unknown[];
  readonly parameters?: readonly (Node & { readonly name: string })[];
  readonly requestBody?: { readonly required?: boolean; readonly content: Record<string, Media> };
  readonly responses: Record<string, Node & { readonly content?: Record<string, Media> }>;
}

interface Media {
  readonly schema: Node;
  readonly example?: unknown;
  readonly examples?: Record<string, { readonly value: unknown }>;
}

const text = await readFile(new URL('../../openapi.yaml', import.meta.url), 'utf8');
const document = parse(text) as {
  readonly tags: readonly { readonly name: string; readonly description?: string }[];
  readonly components: Record<string, Record<string, Node>>;
  readonly paths: Record<string, Record<string, Operation>>;
};
const operations = Object.entries(document.paths).flatMap(([url, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ url, method, operation })),
);
const schemas = document.components['schemas']!;

test('openapi.yaml is what the schemas say', async () => {
  assert.equal(text, await openapiYaml());
});

test('every route that is served is documented, and nothing else', async (t) => {
  const { app } = await openEdge(t);
  const refusal = (await app.inject('/nowhere')).json().error.message as string;
  const served = refusal
    .slice(refusal.indexOf('Served are: ') + 'Served are: '.length, -1)
    .split('; ')
    .flatMap((route) => {
      const [, methods = '', url = ''] = /^([A-Z, ]+) (\S+)$/.exec(route)!;
      return methods.split(', ').map((method) => `${method} ${url}`);
    });
  const documented = operations.map(({ url, method }) => {
    const path = url.replace('{model}', '*').replaceAll(/\{(\w+)\}/g, ':$1');
    return `${method.toUpperCase()} ${path}`;
  });
  assert.deepEqual(documented.sort(), served.sort());
});

test('every operation answers whatever comes with a request id, its time, and errors in their shape', async (t) => {
  const { app } = await openEdge(t);
  let failures = 0;
  for (const { url, method } of operations) {
    const path = url.replaceAll(/\{\w+\}/g, 'nobody');
    for (const payload of method === 'post' ? ['{}', '{', '[1]'] : [undefined]) {
      const answer = await app.inject({
        method: method.toUpperCase() as 'GET' | 'POST' | 'DELETE',
        url: path,
        headers: {
          'x-request-id': 'mine-1',
          ...(payload !== undefined && { 'content-type': 'application/json' }),
        },
        ...(payload !== undefined && { payload }),
      });
      const what = `${method} ${path} ${payload}: ${answer.statusCode}`;
      assert.ok(answer.statusCode < 500, what);
      assert.equal(answer.headers['x-request-id'], 'mine-1', what);
      assert.match(String(answer.headers['openai-processing-ms']), /^\d+$/, what);
      if (answer.statusCode < 400) continue;
      failures += 1;
      assert.ok(Value.Check(ErrorBody, answer.json()), what);
      assert.match(String(answer.headers['content-type']), /^application\/json/, what);
      assert.equal(answer.headers['x-should-retry'], 'false', what);
    }
  }
  assert.ok(failures > 40, `${failures} errors`);
});

test('every operation has an id of its own, a summary, one tag that is described, and says what it needs', () => {
  const ids = operations.map(({ operation }) => operation.operationId);
  assert.equal(new Set(ids).size, ids.length);
  for (const { operation } of operations) {
    const id = operation.operationId!;
    assert.match(id, /^[a-z][A-Za-z]+$/);
    assert.ok(operation.summary!.length > 5, id);
    assert.equal(operation.tags!.length, 1, id);
    const tag = document.tags.find(({ name }) => name === operation.tags![0]);
    assert.ok(tag?.description, id);
    assert.ok(Array.isArray(operation.security), id);
  }
  const securityOf = (url: string, method: string) => document.paths[url]![method]!.security;
  assert.deepEqual(securityOf('/v1/completions', 'post'), [{ key: [] }]);
  assert.deepEqual(securityOf('/metrics', 'get'), [{ adminKey: [] }]);
  assert.deepEqual(securityOf('/health/live', 'get'), []);
});

test('every operation is answered and refused with a description, a body of a name and the request id', () => {
  for (const { operation } of operations) {
    const id = operation.operationId!;
    assert.ok(
      Object.keys(operation.responses).some((status) => /^(2..|101)$/.test(status)),
      id,
    );
    for (const status of ['4XX', '5XX']) {
      const component = status === '4XX' ? 'Refusal' : 'Failure';
      assert.deepEqual(operation.responses[status], { $ref: `#/components/responses/${component}` }, id);
    }
    for (const [status, response] of Object.entries(operation.responses)) {
      if ('$ref' in response) continue;
      assert.ok(String(response['description']).length > 3, `${id} ${status}`);
      assert.doesNotMatch(String(response['description']), /Default Response/, `${id} ${status}`);
      assert.ok('x-request-id' in (response['headers'] as Node), `${id} ${status}`);
      for (const [type, { schema }] of Object.entries(response.content ?? {})) {
        if (type.startsWith('text/') && type !== 'text/event-stream') continue;
        const free = id === 'getDocument';
        assert.ok(free || '$ref' in schema, `${id} ${status} ${type} is nameless`);
      }
    }
  }
  for (const [name, response] of Object.entries(document.components['responses']!)) {
    assert.ok('x-request-id' in (response['headers'] as Node), name);
    assert.ok(String(response['description']).length > 20, name);
  }
});

test('every parameter of a URL is described', () => {
  for (const { operation } of operations) {
    for (const parameter of operation.parameters ?? []) {
      assert.ok(parameter['description'], `${operation.operationId} ${parameter.name}`);
    }
  }
});

test('every body of a request has a name, a description and examples that its schema allows', () => {
  const ajv = new Ajv.default({ strict: false });
  ajv.addSchema({ $id: 'api', ...JSON.parse(JSON.stringify(document)) });
  const bodies = operations.filter(({ operation }) => operation.requestBody !== undefined);
  assert.equal(
    bodies.length,
    operations.filter(({ method, url }) => method === 'post' && !url.endsWith('/cancel')).length,
  );
  for (const { operation } of bodies) {
    const { required, content } = operation.requestBody!;
    assert.equal(required, true);
    const { schema, example, examples = {} } = content['application/json']!;
    const $ref = String(schema['$ref']);
    const name = $ref.split('/').pop()!;
    const shown = [
      ...(example === undefined ? [] : [example]),
      ...Object.values(examples).map(({ value }) => value),
    ];
    assert.ok(shown.length > 0, name);
    const valid = ajv.compile({ $ref: `api${$ref}` });
    for (const one of shown) assert.ok(valid(one), `${name}: ${JSON.stringify(valid.errors)}`);
  }
});

test('every schema of a name is described and used, and no other object of three fields is written twice', () => {
  const refs = new Set([...text.matchAll(/\$ref: "?#\/components\/schemas\/(\w+)/g)].map(([, name]) => name));
  for (const [name, schema] of Object.entries(schemas)) {
    assert.ok(schema['description'], name);
    assert.ok(refs.has(name), `${name} is not used`);
  }
  const seen = new Map<string, string>();
  const walk = (node: unknown, path: string): void => {
    if (typeof node !== 'object' || node === null) return;
    const { type, properties } = node as { type?: unknown; properties?: object };
    if (type === 'object' && Object.keys(properties ?? {}).length >= 3) {
      const key = JSON.stringify(node);
      assert.equal(seen.get(key), undefined, `${path} is also ${seen.get(key)}: give it a title`);
      seen.set(key, path);
    }
    for (const [name, one] of Object.entries(node)) walk(one, `${path}/${name}`);
  };
  walk(document.paths, 'paths');
  walk(document.components, 'components');
});

test('finishDocument refuses two schemas of one title', () => {
  const schema = (type: string) => ({ content: { 'application/json': { schema: { title: 'A', type } } } });
  const paths = {
    '/a': { get: { responses: { 200: schema('object') } }, put: { responses: { 200: schema('string') } } },
  };
  assert.throws(() => finishDocument({ paths }), /two different schemas are called A/);
});
