/**
 * The tables of docs/api.md are true: every parameter that OpenAI's SDK knows or a schema of ours lists has one row, and
 * what the row says of it is what happens to it.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { type TestContext, test } from 'node:test';
import { TextRequest } from '../../routes/completion-schemas.ts';
import { ResponseRequest } from '../../routes/response-schemas.ts';
import { ChatRequest } from '../../routes/schemas.ts';
import { card, chat, openEdge } from '../support/edge.ts';

interface Endpoint {
  readonly section: string;
  readonly url: string;
  readonly body: object;
  readonly schema: { readonly properties: object };
  /** The SDK's type of the request, and the file that has it. */
  readonly type: readonly [string, string];
}

const endpoints: readonly Endpoint[] = [
  {
    ...{ section: 'Chat', url: '/v1/chat/completions', body: chat, schema: ChatRequest },
    type: ['chat/completions/completions', 'ChatCompletionCreateParamsBase'],
  },
  {
    ...{ section: 'Text completions', url: '/v1/completions', schema: TextRequest },
    ...{ body: { model: card.id, prompt: 'x' }, type: ['completions', 'CompletionCreateParamsBase'] },
  },
  {
    ...{ section: 'Responses', url: '/v1/responses', schema: ResponseRequest },
    ...{ body: { model: card.id, input: 'x' }, type: ['responses/responses', 'ResponseCreateParamsBase'] },
  },
];

const page = await readFile(new URL('../../docs/api.md', import.meta.url), 'utf8');

/** Top-level parameter → what its row says of it; in the order of the table. */
function readTable(section: string): Map<string, string> {
  const text = page.split(/^## /m).find((one) => one.startsWith(`${section}\n`))!;
  const [, table = ''] = /^\| parameter \|.*\n\|.*\n((?:\|.*\n)+)/m.exec(text) ?? [];
  const told = new Map<string, string>();
  for (const row of table.trim().split('\n')) {
    const [, names = '', status = ''] = row.split('|').map((cell) => cell.trim());
    for (const name of new Set([...names.matchAll(/`(\w+)[.\w]*`/g)].map(([, found]) => found!))) {
      assert.ok(!told.has(name) || names.includes(`${name}.`), `${section}: two rows for ${name}`);
      assert.match(status, /^(served|ignored|refused|told back|`\w+` served, others refused)/, name);
      if (!told.has(name)) told.set(name, status);
    }
  }
  return told;
}

/** The fields of an interface of the pinned SDK. */
async function sdkFields([file, type]: readonly [string, string]): Promise<string[]> {
  const types = await readFile(
    new URL(`../../node_modules/openai/resources/${file}.d.ts`, import.meta.url),
    'utf8',
  );
  const start = types.indexOf(`export interface ${type} {`);
  assert.ok(start >= 0, type);
  const fields = types.slice(start, types.indexOf('\n}', start)).matchAll(/^ {4}(\w+)\??:/gm);
  return [...fields].map(([, name]) => name!);
}

test('every parameter that the SDK or a schema knows has a row', async () => {
  for (const { section, schema, type } of endpoints) {
    const told = readTable(section);
    const fromSdk = await sdkFields(type);
    assert.ok(fromSdk.length > 15, section);
    const known = new Set([...Object.keys(schema.properties), ...fromSdk]);
    assert.deepEqual(
      [...known].filter((name) => !told.has(name)),
      [],
      section,
    );
  }
});

/** What no parameter takes, and the fields that show those that are ignored. */
const nonsense = 'nonsense';
const harmless: Readonly<Record<string, object>> = {
  ...{ metadata: { metadata: { a: 'b' } }, store: { store: true }, service_tier: { service_tier: 'flex' } },
  ...{ reasoning: { reasoning: { effort: 'high' } }, max_tool_calls: { max_tool_calls: 3 } },
  stream_options: { stream: true, stream_options: { include_obfuscation: true } },
};

async function openSender(t: TestContext) {
  const { app } = await openEdge(t);
  return async ({ url, body }: Endpoint, fields: object) => {
    const answer = await app.inject({ method: 'POST', url, payload: { ...body, ...fields } });
    const status = answer.statusCode;
    const { code, param } = status === 200 ? {} : answer.json().error;
    return { status, code, param };
  };
}

test('what a row calls served is listed, what it calls refused is refused by name, and what it calls ignored is taken', async (t) => {
  const send = await openSender(t);
  for (const endpoint of endpoints) {
    for (const [name, status] of readTable(endpoint.section)) {
      const where = `${endpoint.section}: ${name}`;
      if (status.startsWith('served'))
        assert.ok(name in endpoint.schema.properties, `${where} is not listed`);
      else if (status.includes('refused')) {
        const value = status.startsWith('`') ? 'high' : nonsense;
        const refused = { status: 400, code: 'unsupported_parameter', param: name };
        assert.deepEqual(await send(endpoint, { [name]: value }), refused, where);
        const [, served] = /^`(\w+)` served/.exec(status) ?? [];
        if (served !== undefined) assert.equal((await send(endpoint, { [name]: served })).status, 200, where);
      } else {
        assert.equal((await send(endpoint, harmless[name] ?? { [name]: nonsense })).status, 200, where);
      }
    }
  }
});

test('a parameter of chats that completions do not list is refused there', async (t) => {
  const send = await openSender(t);
  const [, completions] = endpoints;
  const told = readTable('Text completions');
  const others = Object.keys(ChatRequest.properties).filter((name) => !told.has(name));
  assert.ok(others.includes('tools'));
  for (const name of others) {
    const { status, param } = await send(completions!, { [name]: nonsense });
    assert.deepEqual([status, param], [400, name]);
  }
});
