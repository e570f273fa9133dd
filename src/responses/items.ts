/**
 * Items of the Responses API: what a conversation is made of, in OpenAI's own shape, because they are stored, listed
 * and sent back as they are. Every item that is kept has an id; text is kept in parts, never as a bare string.
 */

export interface InputTextPart {
  readonly type: 'input_text';
  readonly text: string;
}

/** One token of an answer, as chat's logprobs tell it. */
export interface TokenLogprob {
  readonly token: string;
  readonly bytes: readonly number[];
  readonly logprob: number;
  readonly top_logprobs: readonly {
    readonly token: string;
    readonly bytes: readonly number[];
    readonly logprob: number;
  }[];
}

export interface OutputTextPart {
  readonly type: 'output_text';
  readonly text: string;
  readonly annotations: readonly unknown[];
  readonly logprobs: readonly TokenLogprob[];
}

export interface RefusalPart {
  readonly type: 'refusal';
  readonly refusal: string;
}

export type ItemStatus = 'in_progress' | 'completed' | 'incomplete';

export interface MessageItem {
  readonly id: string;
  readonly type: 'message';
  readonly status: ItemStatus;
  readonly role: 'user' | 'system' | 'developer' | 'assistant';
  readonly content: readonly (InputTextPart | OutputTextPart | RefusalPart)[];
}

/** Accepted and kept; this model reads no reasoning. */
export interface ReasoningItem {
  readonly id: string;
  readonly type: 'reasoning';
  readonly summary: readonly { readonly type: 'summary_text'; readonly text: string }[];
  readonly encrypted_content: string | null;
}

/** What stands for the conversation before it; made by compaction.ts. */
export interface CompactionItem {
  readonly id: string;
  readonly type: 'compaction';
  readonly encrypted_content: string;
}

export interface FunctionCallItem {
  readonly id: string;
  readonly type: 'function_call';
  readonly status: ItemStatus;
  readonly call_id: string;
  readonly name: string;
  /** JSON. */
  readonly arguments: string;
}

export interface FunctionOutputItem {
  readonly id: string;
  readonly type: 'function_call_output';
  readonly status: ItemStatus;
  readonly call_id: string;
  readonly output: string;
}

export type Item = MessageItem | ReasoningItem | CompactionItem | FunctionCallItem | FunctionOutputItem;

/** As a client may name an item that is kept here already. */
export interface ItemReference {
  readonly type: 'item_reference';
  readonly id: string;
}

export type InputItem = Item | ItemReference;

/** Makes ids: `resp_`, `msg_` and 128 random bits. */
export type NewId = (prefix: string) => string;
