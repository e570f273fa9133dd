/** Streamed events of a response, as OpenAI's clients read them. Types only; event-sequence.ts has their order. */
import type { Item, OutputTextPart, TokenLogprob } from './items.ts';
import type { ResponseObject } from './response-object.ts';

export type Lifecycle = 'created' | 'queued' | 'in_progress' | 'completed' | 'incomplete' | 'failed';

export interface ItemPlace {
  readonly item_id: string;
  readonly output_index: number;
}

export interface PartPlace extends ItemPlace {
  readonly content_index: number;
}

type LifecycleBody = {
  [Name in Lifecycle]: { readonly type: `response.${Name}`; readonly response: ResponseObject };
}[Lifecycle];

export type EventBody =
  | LifecycleBody
  | {
      readonly type: `response.output_item.${'added' | 'done'}`;
      readonly output_index: number;
      readonly item: Item;
    }
  | (PartPlace & {
      readonly type: `response.content_part.${'added' | 'done'}`;
      readonly part: OutputTextPart;
    })
  | (PartPlace & {
      readonly type: 'response.output_text.delta';
      readonly delta: string;
      readonly logprobs: readonly TokenLogprob[];
    })
  | (PartPlace & {
      readonly type: 'response.output_text.done';
      readonly text: string;
      readonly logprobs: readonly TokenLogprob[];
    })
  | (ItemPlace & { readonly type: 'response.function_call_arguments.delta'; readonly delta: string })
  | (ItemPlace & {
      readonly type: 'response.function_call_arguments.done';
      readonly name: string;
      readonly arguments: string;
    })
  | {
      readonly type: 'error';
      readonly code: string;
      readonly message: string;
      readonly param: string | null;
    };

export type ResponseEvent = EventBody & { readonly sequence_number: number };
