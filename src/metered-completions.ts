/**
 * A CompletionService that charges tokens to the account of each request's owner: the prompt when the answer starts,
 * output as it comes. So an answer that breaks off costs what it took, whichever route asked for it.
 */
import type { Completion, CompletionEvent, CompletionService } from './completion.ts';
import type { KeyRing } from './key-ring.ts';

export function meteredCompletions(inner: CompletionService, keys: KeyRing): CompletionService {
  return {
    async start(request): Promise<Completion> {
      const account = keys.accountOf(request.owner);
      const completion = await inner.start(request);
      if (account === undefined) return completion;
      account.charge(completion.promptIds.length);
      const choices = completion.choices.map((choice) => charged(choice, account.charge));
      return { ...completion, choices, events: choices[0]! };
    },
  };
}

async function* charged(
  events: AsyncIterable<CompletionEvent>,
  charge: (tokens: number) => void,
): AsyncGenerator<CompletionEvent> {
  for await (const event of events) {
    if (event.type === 'text') charge(event.ids.length);
    yield event;
  }
}
