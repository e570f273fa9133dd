/**
 * How a model writes calls of functions: the texts around name and arguments. Grammar and parser are made of the same
 * form, so what the one forces the other finds. The name is a JSON string, the arguments are a JSON object.
 */
export interface CallForm {
  /** Begins a call; text of an answer never holds it. */
  readonly opening: string;
  readonly beforeName: string;
  readonly beforeArguments: string;
  readonly closing: string;
  /** Stands between two calls of one answer; null: an answer has one call at most. */
  readonly between: string | null;
}

/** Of Hermes and Qwen, and of models whose template knows no tools (docs/tools.md). */
export const taggedCalls: CallForm = {
  opening: '<tool_call>',
  beforeName: '\n{"name": ',
  beforeArguments: ', "arguments": ',
  closing: '}\n</tool_call>',
  between: '\n',
};

/** Of Llama 3.1 and later: the object alone, and one of them. */
const bareCalls: CallForm = {
  opening: '{"name": ',
  beforeName: '',
  beforeArguments: ', "parameters": ',
  closing: '}',
  between: null,
};

export const callForms: readonly CallForm[] = [taggedCalls, bareCalls];

export interface SaidCall {
  readonly name: string;
  /** JSON text, as the model wrote it. */
  readonly arguments: string;
}

export function callText(form: CallForm, calls: readonly SaidCall[]): string {
  const { opening, beforeName, beforeArguments, closing } = form;
  return calls
    .map(
      ({ name, arguments: said }) =>
        opening + beforeName + JSON.stringify(name) + beforeArguments + said + closing,
    )
    .join(form.between ?? '\n');
}
