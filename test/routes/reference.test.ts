/** `/docs` and `/openapi.json`: complete, escaped, and nothing that a browser would fetch or run. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ReferenceSchema, renderReference } from '../../routes/reference-page.ts';
import { openEdge } from '../support/edge.ts';

test('the page names every route and its fields, with nothing to load or run', async (t) => {
  const { app } = await openEdge(t);
  const answer = await app.inject('/docs');
  assert.match(String(answer.headers['content-type']), /^text\/html/);
  assert.match(String(answer.headers['content-security-policy']), /default-src 'none'/);
  const document = (await app.inject('/openapi.json')).json();
  const urls = Object.keys(document.paths);
  assert.ok(urls.length >= 12, `${urls.length} paths`);
  for (const url of urls) assert.ok(answer.payload.includes(url), url);
  for (const field of ['prediction', 'max_completion_tokens', 'best_of', 'token_strs', 'speculation']) {
    assert.ok(answer.payload.includes(`<b>${field}</b>`), field);
  }
  assert.doesNotMatch(answer.payload, /<script|<link|<img|src=|url\(|@import|https?:\/\//);
});

test('every operation has an id of its own, a summary, one tag and says what it needs', async (t) => {
  const { app } = await openEdge(t);
  const document = (await app.inject('/openapi.json')).json();
  const operations = Object.values<Record<string, Record<string, unknown>>>(document.paths).flatMap(
    (methods) => Object.values(methods),
  );
  const ids = operations.map(({ operationId }) => operationId);
  assert.equal(new Set(ids).size, ids.length);
  const tags = document.tags.map(({ name }: { name: string }) => name);
  for (const operation of operations) {
    assert.equal(typeof operation['operationId'], 'string');
    assert.ok(String(operation['summary']).length > 5, String(operation['operationId']));
    assert.equal((operation['tags'] as string[]).length, 1);
    assert.ok(tags.includes((operation['tags'] as string[])[0]));
    assert.ok(Array.isArray(operation['security']), String(operation['operationId']));
  }
  assert.deepEqual(document.paths['/v1/completions'].post.security, [{ key: [] }]);
  assert.deepEqual(document.paths['/metrics'].get.security, [{ adminKey: [] }]);
  assert.deepEqual(document.paths['/health/live'].get.security, []);
});

test('renderReference escapes what a document says, and ends where schemas hold themselves', () => {
  const loop: { properties: Record<string, ReferenceSchema> } = { properties: {} };
  loop.properties['self<'] = { description: '<img src=x> and `a<b`', anyOf: [loop] };
  const html = renderReference({
    info: { title: 'A & "B"', version: '1' },
    paths: {
      '/x': { post: { summary: '<script>', requestBody: { content: { 'a/b': { schema: loop } } } } },
    },
  });
  assert.ok(!html.includes('<script>') && !html.includes('<img'));
  assert.ok(html.includes('A &amp; &quot;B&quot; API'));
  assert.ok(html.includes('<code>a&lt;b</code>'));
  assert.ok(html.includes('…'));
});
