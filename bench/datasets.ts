/**
 * Prompts to measure with: JSON-lines files in the formats of HumanEval, GSM8K and Spec-Bench, told apart by their
 * fields, and the project's own {set, kind, text}. The wording that surrounds a task decides what the model answers,
 * so it is fixed here and printed with every result.
 */
import { open } from 'node:fs/promises';
import { type BenchPrompt, cutSet, type DataSet, limitOf, type PromptLimit } from './data-set.ts';
import { completionSet, editSet, type HumanEvalTask } from './humaneval.ts';

/** The public sets have below 2 MB; a larger file is a mistaken path. */
const fileBytesMax = 64 * 1024 * 1024;

export interface ReadOptions {
  /** Prompts are spread evenly over the file. */
  readonly limit: PromptLimit;
  readonly countTokens: (text: string) => number;
}

type Row = Readonly<Record<string, unknown>>;

/** The sets of a file: one, or two for HumanEval (completion and editing). Throws with the line that is wrong. */
export async function readDataSets(path: string, options: ReadOptions): Promise<DataSet[]> {
  const rows = parseRows(await readBounded(path), path);
  return dataSetsOf(rows, path, options).filter(({ prompts }) => prompts.length > 0);
}

function dataSetsOf(rows: readonly Row[], path: string, { limit, countTokens }: ReadOptions): DataSet[] {
  const has = (...fields: string[]): boolean => rows.every((row) => fields.every((field) => field in row));
  if (has('task_id', 'prompt', 'entry_point', 'canonical_solution')) {
    const tasks = rows as unknown as HumanEvalTask[];
    return [
      completionSet(tasks, limitOf(limit, 'humaneval')),
      editSet(tasks, countTokens, limitOf(limit, 'edit')),
    ];
  }
  if (has('question', 'answer')) {
    const prompts = rows.map((row, i) => ({
      id: `gsm8k/${i}`,
      kind: 'maths',
      text: String(row['question']),
      answer: numberAfter(String(row['answer']), '####'),
    }));
    return [cutTo(limit, 'gsm8k', '{question}', prompts)];
  }
  if (has('turns', 'category')) {
    const prompts = rows.map((row, i) => ({
      id: `spec-bench/${row['question_id'] ?? i}`,
      kind: String(row['category']),
      text: String((row['turns'] as readonly unknown[])[0]),
    }));
    return [cutTo(limit, 'spec-bench', '{turns[0]}', prompts)];
  }
  if (has('set', 'kind', 'text')) {
    return [...Map.groupBy(rows, (row) => String(row['set']))].map(([name, group]) => {
      const prompts = group.map((row, i) => ({
        id: `${name}/${i}`,
        kind: String(row['kind']),
        text: String(row['text']),
      }));
      return cutTo(limit, name, '{text}', prompts);
    });
  }
  throw new Error(
    `${path} is none of the known formats: HumanEval, GSM8K, Spec-Bench, or lines of {set, kind, text}.`,
  );
}

function cutTo(limit: PromptLimit, name: string, wording: string, prompts: readonly BenchPrompt[]): DataSet {
  const { chosen, others } = cutSet(prompts, limitOf(limit, name));
  return { name, wording, prompts: chosen, others };
}

/** NaN where there is none. */
function numberAfter(text: string, mark: string): number {
  return Number(text.slice(text.lastIndexOf(mark) + mark.length).replaceAll(',', ''));
}

function parseRows(content: string, path: string): Row[] {
  const rows: Row[] = [];
  for (const [index, line] of content.split('\n').entries()) {
    if (line.trim() === '') continue;
    rows.push(parseRow(line, `${path}:${index + 1}`));
  }
  if (rows.length === 0) throw new Error(`${path} has no prompts.`);
  return rows;
}

function parseRow(line: string, place: string): Row {
  let row: unknown;
  try {
    row = JSON.parse(line);
  } catch (error) {
    throw new Error(`${place} is not JSON: ${(error as Error).message}`);
  }
  if (typeof row !== 'object' || row === null || Array.isArray(row))
    throw new Error(`${place} is not a JSON object.`);
  return row as Row;
}

async function readBounded(path: string): Promise<string> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    if (size > fileBytesMax)
      throw new Error(`${path} has ${size} bytes; prompt files have at most ${fileBytesMax}.`);
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}
