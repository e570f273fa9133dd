/**
 * Tools in words, for models whose template knows none: a system prompt that lists them and shows the form of a call,
 * earlier calls as the model would have said them, and results as messages of the user. docs/tools.md describes it.
 */

export interface DescribedTool {
  readonly name: string;
  readonly description: string | null;
  /** JSON Schema of the arguments, or null for any object. */
  readonly parameters: unknown;
}

export interface SaidCall {
  readonly name: string;
  /** JSON text, as the model wrote it. */
  readonly arguments: string;
}

/** What the system prompt ends with. `required`: text is no answer. */
export function toolPrompt(tools: readonly DescribedTool[], required: boolean): string {
  const list = tools.map(({ name, description, parameters }) =>
    JSON.stringify({ name, ...(description !== null && { description }), parameters: parameters ?? {} }),
  );
  return [
    'You can call functions. Each is listed with a JSON schema of its arguments:',
    ...list,
    'To call one, write exactly this and nothing after it:',
    callText([{ name: 'NAME', arguments: '{"ARGUMENT": "VALUE"}' }]),
    required
      ? 'Answer with a call.'
      : 'Call a function when it helps; when you know the answer, or a result was given, answer in words.',
  ].join('\n');
}

export function callText(calls: readonly SaidCall[]): string {
  return calls
    .map(
      ({ name, arguments: said }) =>
        `<tool_call>\n{"name": ${JSON.stringify(name)}, "arguments": ${said}}\n</tool_call>`,
    )
    .join('\n');
}

export function resultText(content: string): string {
  return `<tool_response>\n${content}\n</tool_response>`;
}
