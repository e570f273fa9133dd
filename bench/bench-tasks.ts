/**
 * Files of prompts → what the measuring loop sends: chat-templated ids that fit the context with their answer. Needs
 * the model's file alone, so a mistaken path is known before any worker starts.
 */
import type { ModelDims } from '../shards/manifest.ts';
import { readGguf } from '../src/models/gguf.ts';
import { modelDims } from '../src/models/model-dims.ts';
import { createChatTemplate } from '../src/text/chat-template.ts';
import { createTokenizer } from '../src/text/tokenizer.ts';
import { type BenchPrompt, type DataSet, type PromptLimit, spreadOver } from './data-set.ts';
import { readDataSets } from './datasets.ts';
import type { BenchTask } from './mode-runs.ts';

/** Prompts of a set that may be answered beforehand: half of the smallest public set. */
export const othersMax = 40;
/** Prompts for a measurement without delay. */
const undelayedPrompts = 6;

export interface TaskOptions {
  readonly modelPath: string;
  readonly dataPaths: readonly string[];
  readonly limit: PromptLimit;
  readonly maxTokens: number;
  readonly print: (line: string) => void;
}

export interface PreparedTasks {
  readonly dims: ModelDims;
  readonly sets: readonly DataSet[];
  readonly tasks: readonly BenchTask[];
  /** By set: what is not measured. */
  readonly others: ReadonlyMap<string, readonly BenchTask[]>;
}

/** Prompts that are too long are named and left out. Throws if none is left, and what reading the files throws. */
export async function prepareTasks(options: TaskOptions): Promise<PreparedTasks> {
  const { dataPaths, limit, maxTokens, print } = options;
  const file = await readGguf(options.modelPath);
  const dims = modelDims(file);
  const tokenizer = createTokenizer(file.metadata);
  const template = createChatTemplate(file.metadata, tokenizer);
  const sets: DataSet[] = [];
  for (const path of dataPaths) {
    sets.push(...(await readDataSets(path, { limit, countTokens: (text) => tokenizer.encode(text).length })));
  }
  const fitting = (set: string, prompts: readonly BenchPrompt[]): BenchTask[] =>
    prompts.flatMap((prompt) => {
      const promptIds = template.encodeChat([{ role: 'user', content: prompt.text }]);
      if (promptIds.length + maxTokens <= dims.contextLength) return [{ ...prompt, set, promptIds }];
      print(`${prompt.id} is left out: ${promptIds.length} tokens and an answer exceed the context`);
      return [];
    });
  const tasks = sets.flatMap(({ name, prompts }) => fitting(name, prompts));
  if (tasks.length === 0) throw new Error('No prompt is left to measure with.');
  print(
    `${tasks.length} prompts: ${sets.map(({ name, prompts }) => `${name} ${prompts.length}`).join(', ')}`,
  );
  const others = new Map(
    sets.map(({ name, others: left }) => [name, fitting(name, spreadOver(left, othersMax))]),
  );
  return { dims, sets, tasks, others };
}

/** A few prompts of all sets. */
export function undelayed(tasks: readonly BenchTask[]): BenchTask[] {
  const step = Math.max(1, Math.floor(tasks.length / undelayedPrompts));
  return tasks.filter((_, i) => i % step === 0).slice(0, undelayedPrompts);
}
