/** Calls that a random model says, in every form: whole, of the functions that are there, with arguments of their schema. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { toolGrammar } from '../src/grammar/answer-grammar.ts';
import { callForms } from '../src/text/call-form.ts';
import { ToolCallParser } from '../src/text/tool-call-parser.ts';
import { makeTinyModel, startTinyCluster } from './support/tiny-cluster.ts';

const city = { type: 'object', properties: { city: { enum: ['Oslo', 'Rome'] } }, required: ['city'] };
const tools = [
  { name: 'weather', parameters: { ...city, additionalProperties: false } },
  { name: 'now', parameters: { type: 'object', properties: {}, additionalProperties: false } },
];
const ajv = new Ajv2020();
const schemas = new Map(tools.map(({ name, parameters }) => [name, ajv.compile(parameters)]));

test('forced calls are whole and well-formed in every form, one or several, however they are cut', async (t) => {
  const { serving } = await startTinyCluster(t, await makeTinyModel(t), { workers: 2, topology: 'chain' });
  let [several, cuts] = [0, 0];
  for (const form of callForms) {
    for (const parallel of [true, false]) {
      const ebnf = toolGrammar({ form, tools, textAllowed: false, parallel, format: null });
      for (let seed = 0; seed < 12; seed++) {
        const { events } = await serving.completions.start({
          messages: [{ role: 'user', content: 'Call something.' }],
          grammar: { ebnf, param: 'tools' },
          ...{ temperature: 1, topP: 1, topK: 0, minP: 0, seed: BigInt(seed), stop: [], prediction: null },
          maxTokens: seed % 3 === 0 ? 20 : 200,
          speculation: { drafter: 'auto', draftLength: 'auto' },
          ...{ owner: 'test', signal: new AbortController().signal },
        });
        const parser = new ToolCallParser(form);
        const calls: { name: string; text: string }[] = [];
        let reason = '';
        for await (const event of events) {
          if (event.type === 'finish') reason = event.reason;
          else {
            for (const piece of event.deltas.flatMap((delta) => parser.push(delta))) {
              assert.notEqual(piece.type, 'content');
              if (piece.type === 'call') calls.push({ name: piece.name, text: '' });
              else if (piece.type === 'arguments') calls[piece.index]!.text += piece.text;
            }
          }
        }
        const whole = calls.slice(0, parser.completeCalls);
        for (const { name, text } of whole)
          assert.ok(schemas.get(name)!(JSON.parse(text)), `${name} ${text}`);
        if (reason === 'stop') assert.ok(parser.endsWithCalls && whole.length === calls.length);
        else cuts += 1;
        if (!parallel || form.between === null) assert.ok(calls.length <= 1);
        if (calls.length > 1) several += 1;
      }
    }
  }
  assert.ok(several > 0 && cuts > 0, `${several} answers of several calls, ${cuts} cut`);
});
