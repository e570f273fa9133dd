/**
 * Two sets out of the HumanEval tasks. Completion: signature and docstring, to be completed. Editing: the function with
 * its solution, to be given back with a small change; what an editor or an agent asks for all day, and the text where
 * copying drafters are at their best.
 */
import { type BenchPrompt, cutSet, type DataSet } from './data-set.ts';

export interface HumanEvalTask {
  readonly task_id: string;
  readonly prompt: string;
  readonly entry_point: string;
  readonly canonical_solution: string;
}

/** Longer functions would be cut off by the usual limit of an answer. */
const codeTokensMax = 240;

const edits: readonly { readonly kind: string; readonly instruction: (task: HumanEvalTask) => string }[] = [
  { kind: 'repeat', instruction: () => 'Repeat this code exactly.' },
  {
    kind: 'rename',
    instruction: ({ entry_point }) =>
      `Rename the function ${entry_point} to solve in this code. Return the whole code.`,
  },
  {
    kind: 'comment',
    instruction: () => 'Add a comment above the return statement. Return the whole code.',
  },
  { kind: 'strip', instruction: () => 'Remove the docstring from this function. Return the whole code.' },
];

/** At most `limit` tasks, in the fence that models were trained on. */
export function completionSet(tasks: readonly HumanEvalTask[], limit: number | null): DataSet {
  const completions = tasks.map(({ task_id, prompt }) => ({
    id: task_id,
    kind: 'code',
    text: `Complete this Python function.\n${fenced(prompt)}`,
  }));
  const { chosen, others } = cutSet(completions, limit);
  const wording = 'Complete this Python function.⏎```python⏎{prompt}```';
  return { name: 'humaneval', wording, prompts: chosen, others };
}

/** Functions of fewer than 240 tokens, at most `limit` of them; the four edits take turns. */
export function editSet(
  tasks: readonly HumanEvalTask[],
  countTokens: (text: string) => number,
  limit: number | null,
): DataSet {
  const functions = tasks
    .map((task) => ({ task, code: `${task.prompt.trimStart()}${task.canonical_solution}` }))
    .filter(({ code }) => countTokens(code) < codeTokensMax);
  const inTurn = (cut: typeof functions): BenchPrompt[] =>
    cut.map(({ task, code }, index) => {
      const { kind, instruction } = edits[index % edits.length];
      return { id: `edit/${task.task_id}`, kind, text: `${instruction(task)}\n${fenced(code)}` };
    });
  const { chosen, others } = cutSet(functions, limit);
  const instructions = edits.map(({ kind }) => kind).join(' | ');
  return {
    name: 'edit',
    wording: `{${instructions}}⏎\`\`\`python⏎{prompt}{canonical_solution}\`\`\``,
    prompts: inTurn([...chosen]),
    others: inTurn([...others]),
  };
}

function fenced(code: string): string {
  return `\`\`\`python\n${code}${code.endsWith('\n') ? '' : '\n'}\`\`\``;
}
