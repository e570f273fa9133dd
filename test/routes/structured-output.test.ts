/** What an answer must look like, and tools, at the HTTP edge over a fake engine, by the official SDK where it has helpers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type OpenAI from 'openai';
import { inWords } from '../../src/text/tool-messages.ts';
import { chat, listenEdge, openEdge } from '../support/edge.ts';

const weather = {
  type: 'function' as const,
  function: {
    name: 'get_weather',
    description: 'Weather of a city',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
};
const callTokens = [
  'Let me',
  ' see. <tool',
  '_call>',
  '\n{"name": "get_',
  'weather", "argu',
  'ments": ',
  '{"city"',
  ': "a}\\"b"}',
  '}\n</tool_call>',
];

const rounds = [callTokens, []];

test('response_format and structured_outputs become a grammar of the request', async (t) => {
  const { app, completions } = await openEdge(t);
  const formats: [fields: object, grammar: RegExp][] = [
    [{ response_format: { type: 'json_object' } }, /"\{"/],
    [
      {
        response_format: {
          type: 'json_schema',
          json_schema: { name: 'n', schema: { type: 'null' }, strict: true },
        },
      },
      /"null"/,
    ],
    [{ structured_outputs: { choice: ['yes', 'no'] } }, /root ::= \("yes" \| "no"\)/],
    [{ structured_outputs: { regex: '[0-9]{2}' } }, /\[0-9\]/],
    [{ structured_outputs: { grammar: 'root ::= "x"' } }, /^root ::= "x"$/],
    [{ structured_outputs: { json: '{"const": 5}' } }, /"5"/],
  ];
  for (const [fields, grammar] of formats) {
    const payload = { ...chat, ...fields };
    const answer = await app.inject({ method: 'POST', url: '/v1/chat/completions', payload });
    assert.equal(answer.statusCode, 200, answer.payload);
    assert.match(completions.requests.at(-1)!.grammar!.ebnf, grammar);
  }
});

test('what no grammar can promise is refused with the parameter and the JSON pointer', async (t) => {
  const { app } = await openEdge(t);
  const format = (schema: object): object => ({
    response_format: { type: 'json_schema', json_schema: { name: 'n', schema } },
  });
  const param = 'response_format.json_schema.schema';
  const bad = { properties: { 'a/b': { not: {} } } };
  const cases: [fields: object, param: string, message: RegExp][] = [
    [format(bad), param, /#\/properties\/a~1b\/not: "not" is not supported/],
    [format({ $ref: '#/$defs/x' }), param, /#\/\$ref: "#\/\$defs\/x" leads nowhere/],
    [format({ type: 'object', properties: { a: { $ref: '#' } }, required: ['a'] }), param, /no finite value/],
    [format({ type: 'string', pattern: '(?=a)' }), param, /#\/pattern: .*look-around/],
    [format({ oneOf: [{ type: 'string' }, { enum: ['a'] }] }), param, /#\/oneOf: .*use "anyOf"/],
    [format({ type: 'array', uniqueItems: true }), param, /#\/uniqueItems/],
    [format({ type: 'string', maxLength: 5000 }), param, /#\/maxLength/],
    [{ structured_outputs: { regex: 'a', choice: ['b'] } }, 'structured_outputs', /exactly one/],
    [{ structured_outputs: { regex: '(' } }, 'structured_outputs.regex', /pattern/],
    [
      {
        tools: [
          { type: 'function', function: { name: 'f', strict: true, parameters: { type: 'object', ...bad } } },
        ],
      },
      'tools[0].function.parameters',
      /#\/properties\/a~1b\/not/,
    ],
    [{ tools: [{ type: 'custom', custom: {} }] }, 'tools[0].type', /custom/],
    [{ tools: [weather], tool_choice: { type: 'function', function: { name: 'x' } } }, 'tool_choice', /'x'/],
    [{ tool_choice: 'required' }, 'tool_choice', /only allowed with 'tools'/],
    [
      {
        messages: [
          {
            role: 'assistant',
            tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: '[' } }],
          },
        ],
      },
      'messages[0].tool_calls[0].function.arguments',
      /JSON object/,
    ],
  ];
  for (const [fields, wanted, message] of cases) {
    const payload = { ...chat, ...fields };
    const answer = await app.inject({ method: 'POST', url: '/v1/chat/completions', payload });
    const { error } = answer.json() as { error: { param: string; message: string } };
    assert.equal(answer.statusCode, 400, JSON.stringify(fields));
    assert.equal(error.param, wanted, error.message);
    assert.match(error.message, message);
  }
});

test('a call is told from the text, whole and streamed, by the helpers of the SDK', async (t) => {
  const { client, completions } = await listenEdge(t, { answer: { rounds } });
  const whole = await client.chat.completions.create({ ...chat, tools: [weather] });
  const [choice] = whole.choices;
  assert.equal(choice!.finish_reason, 'tool_calls');
  assert.equal(choice!.message.content, 'Let me see. ');
  const call = choice!.message.tool_calls![0]!;
  assert.ok(call.type === 'function' && call.id.startsWith('call_'));
  assert.deepEqual(JSON.parse(call.function.arguments), { city: 'a}"b' });
  const streamed = await client.chat.completions.stream({ ...chat, tools: [weather] }).finalChatCompletion();
  const { message, finish_reason } = streamed.choices[0]!;
  assert.equal(finish_reason, 'tool_calls');
  assert.equal(message.content, 'Let me see. ');
  const [again] = message.tool_calls!;
  assert.ok(again!.type === 'function');
  assert.equal(again!.function.name, 'get_weather');
  assert.equal(again!.function.arguments, call.function.arguments);
  const [system] = inWords(completions.requests[0]!.messages);
  assert.equal(system!.role, 'system');
  assert.match(system!.content, /get_weather.*Weather of a city/);
});

test('a streamed call tells its index, id and name once, then its arguments in pieces', async (t) => {
  const { client } = await listenEdge(t, { answer: { rounds: callTokens.map((token) => [token]) } });
  const stream = await client.chat.completions.create({ ...chat, tools: [weather], stream: true });
  const deltas: OpenAI.ChatCompletionChunk.Choice.Delta.ToolCall[] = [];
  for await (const { choices } of stream) deltas.push(...(choices[0]?.delta.tool_calls ?? []));
  const [first, ...rest] = deltas;
  assert.equal(first!.index, 0);
  assert.match(first!.id!, /^call_/);
  assert.equal(first!.type, 'function');
  assert.deepEqual(first!.function, { name: 'get_weather', arguments: '' });
  assert.ok(rest.length > 1);
  for (const delta of rest) {
    assert.deepEqual(Object.keys(delta).sort(), ['function', 'index']);
    assert.deepEqual(Object.keys(delta.function!), ['arguments']);
  }
  assert.equal(rest.map((delta) => delta.function!.arguments).join(''), '{"city": "a}\\"b"}');
});

test('tool_choice and parallel_tool_calls decide what the grammar lets pass', async (t) => {
  const { app, completions } = await openEdge(t);
  const time = { ...weather, function: { ...weather.function, name: 'get_time' } };
  const both = { tools: [weather, time] };
  const named = (name: string) => ({ type: 'function', function: { name } });
  const allowed = (mode: string) => ({
    ...both,
    tool_choice: { type: 'allowed_tools', allowed_tools: { mode, tools: [named('get_time')] } },
  });
  const cases: [fields: object, text: boolean, weather: boolean, several: boolean][] = [
    [both, true, true, true],
    [{ ...both, tool_choice: 'auto', parallel_tool_calls: false }, true, true, false],
    [{ ...both, tool_choice: 'required' }, false, true, true],
    [{ ...both, tool_choice: 'required', parallel_tool_calls: false }, false, true, false],
    [{ ...both, tool_choice: named('get_time') }, false, false, false],
    [allowed('auto'), true, false, true],
    [allowed('required'), false, false, true],
  ];
  for (const [fields, text, weather, several] of cases) {
    const payload = { ...chat, ...fields };
    const answer = await app.inject({ method: 'POST', url: '/v1/chat/completions', payload });
    assert.equal(answer.statusCode, 200, answer.payload);
    const { grammar, messages } = completions.requests.at(-1)!;
    const what = JSON.stringify(fields);
    assert.equal(grammar!.ebnf.includes('TagDispatch'), text, what);
    assert.equal(grammar!.ebnf.includes('get_weather'), weather, what);
    assert.equal(grammar!.ebnf.includes('"\\u000a<tool_call>"'), several, what);
    assert.match(inWords(messages)[0]!.content, /get_weather.*\n.*get_time/);
  }
});

test('a call cut by max_tokens ends with length and is no call', async (t) => {
  for (const cut of [3, 5, 7, 8]) {
    const answer = { rounds: [callTokens.slice(0, cut), []], reason: 'length' as const };
    const { client } = await listenEdge(t, { answer });
    const { choices } = await client.chat.completions.create({ ...chat, tools: [weather] });
    assert.equal(choices[0]!.finish_reason, 'length');
    assert.equal(choices[0]!.message.tool_calls, undefined);
  }
});

test('calls and their results go back into the prompt, and tool_choice none hides the tools', async (t) => {
  const { client, completions } = await listenEdge(t);
  const call = {
    id: 'c1',
    type: 'function' as const,
    function: { name: 'get_weather', arguments: '{"city": "X"}' },
  };
  await client.chat.completions.create({
    ...chat,
    tools: [weather],
    tool_choice: 'none',
    messages: [
      ...chat.messages,
      { role: 'assistant', content: null, tool_calls: [call] },
      { role: 'tool', tool_call_id: 'c1', content: 'sunny' },
    ],
  });
  assert.deepEqual(inWords(completions.requests[0]!.messages).slice(1), [
    {
      role: 'assistant',
      content: '<tool_call>\n{"name": "get_weather", "arguments": {"city": "X"}}\n</tool_call>',
    },
    { role: 'user', content: '<tool_response>\nsunny\n</tool_response>' },
  ]);
  assert.equal(completions.requests[0]!.grammar, undefined);
});
