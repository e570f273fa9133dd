/** docs/api.md has a word on every parameter that a schema lists. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { TextRequest } from '../../routes/completion-schemas.ts';
import { ResponseRequest } from '../../routes/response-schemas.ts';
import { ChatRequest } from '../../routes/schemas.ts';

test('docs/api.md names every parameter of chats, completions and responses in its section', async () => {
  const page = await readFile(new URL('../../docs/api.md', import.meta.url), 'utf8');
  const sectionOf = (title: string): string =>
    page.split(/^## /m).find((text) => text.startsWith(`${title}\n`))!;
  for (const [title, schema] of [
    ['Chat', ChatRequest],
    ['Text completions', TextRequest],
    ['Responses', ResponseRequest],
  ] as const) {
    const section = sectionOf(title);
    const missing = Object.keys(schema.properties).filter(
      (name) => !new RegExp(`\`${name}[.\`]`).test(section),
    );
    assert.deepEqual(missing, [], title);
  }
});
