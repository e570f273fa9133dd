/** Formats by their fields, the fixed wording, limits and errors; the shipped prompts. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { spreadOver } from '../../bench/data-set.ts';
import { readDataSets } from '../../bench/datasets.ts';

const all = { limit: { each: null, only: null }, countTokens: (text: string) => text.length };

function fileOf(t: TestContext, rows: readonly unknown[]): string {
  const directory = mkdtempSync(join(tmpdir(), 'foretoken-prompts-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'prompts.jsonl');
  writeFileSync(path, rows.map((row) => (typeof row === 'string' ? row : JSON.stringify(row))).join('\n'));
  return path;
}

const task = (n: number, solution = '    return 1\n') => ({
  task_id: `HumanEval/${n}`,
  prompt: `\ndef f${n}():\n    """ One. """\n`,
  entry_point: `f${n}`,
  canonical_solution: solution,
  test: '',
});

test('readDataSets words HumanEval tasks as a fenced completion', async (t) => {
  const [set] = await readDataSets(fileOf(t, [task(0)]), all);
  assert.equal(set.name, 'humaneval');
  assert.deepEqual(set.prompts, [
    {
      id: 'HumanEval/0',
      kind: 'code',
      text: 'Complete this Python function.\n```python\n\ndef f0():\n    """ One. """\n```',
    },
  ]);
});

test('readDataSets makes the four edits in turn out of short HumanEval solutions', async (t) => {
  const tasks = [task(0), task(1, ' '.repeat(300)), task(2), task(3), task(4), task(5)];
  const [, set] = await readDataSets(fileOf(t, tasks), all);
  assert.equal(set.name, 'edit');
  assert.deepEqual(
    set.prompts.map(({ id, kind }) => [id, kind]),
    [
      ['edit/HumanEval/0', 'repeat'],
      ['edit/HumanEval/2', 'rename'],
      ['edit/HumanEval/3', 'comment'],
      ['edit/HumanEval/4', 'strip'],
      ['edit/HumanEval/5', 'repeat'],
    ],
  );
  assert.equal(
    set.prompts[1].text,
    'Rename the function f2 to solve in this code. Return the whole code.\n' +
      '```python\ndef f2():\n    """ One. """\n    return 1\n```',
  );
});

test('readDataSets takes GSM8K questions and the first turns of Spec-Bench', async (t) => {
  const [gsm8k] = await readDataSets(fileOf(t, [{ question: 'How many?', answer: '#### 3' }]), all);
  assert.deepEqual([gsm8k.name, gsm8k.prompts[0].text], ['gsm8k', 'How many?']);
  const turns = [{ question_id: 81, category: 'writing', turns: ['First.', 'Second.'] }];
  const [bench] = await readDataSets(fileOf(t, turns), all);
  assert.deepEqual(bench.prompts, [{ id: 'spec-bench/81', kind: 'writing', text: 'First.' }]);
});

test('readDataSets spreads a limit over the file', async (t) => {
  const rows = Array.from({ length: 10 }, (_, i) => ({ question: `${i}`, answer: '' }));
  const [set] = await readDataSets(fileOf(t, rows), { ...all, limit: { each: 4, only: null } });
  assert.deepEqual(
    set.prompts.map(({ text }) => text),
    ['0', '2', '5', '7'],
  );
  assert.deepEqual(spreadOver([1, 2], 5), [1, 2]);
});

test('readDataSets names the line or the file that is wrong', async (t) => {
  await assert.rejects(readDataSets(fileOf(t, [task(0), '{"task']), all), /prompts\.jsonl:2 is not JSON/);
  await assert.rejects(readDataSets(fileOf(t, ['[]']), all), /:1 is not a JSON object/);
  await assert.rejects(
    readDataSets(fileOf(t, [{ question: 'no answer' }]), all),
    /none of the known formats/,
  );
  await assert.rejects(readDataSets(fileOf(t, ['']), all), /no prompts/);
});

test('the shipped prompts cover code, maths, prose and copying', async () => {
  const path = new URL('../../bench/prompts.jsonl', import.meta.url).pathname;
  const [set] = await readDataSets(path, all);
  assert.equal(set.name, 'own');
  assert.equal(set.prompts.length, 12);
  assert.deepEqual([...new Set(set.prompts.map(({ kind }) => kind))], ['code', 'maths', 'prose', 'copying']);
});

test('readDataSets leaves out what is not asked for, and takes limits of single sets', async (t) => {
  const path = fileOf(t, [task(0), task(1), task(2), task(3)]);
  const read = (only: Record<string, number | null>) =>
    readDataSets(path, { ...all, limit: { each: 3, only } });
  const counts = (await read({ humaneval: null, edit: 1 })).map(({ name, prompts, others }) => [
    name,
    prompts.length,
    others.length,
  ]);
  assert.deepEqual(counts, [
    ['humaneval', 3, 1],
    ['edit', 1, 3],
  ]);
  assert.deepEqual(
    (await read({ edit: null })).map(({ name }) => name),
    ['edit'],
  );
});
