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
