/**
 * A CompletionService that counts tokens against the account of each request's owner: what prompt and answer may need is
 * set aside before the start, as OpenAI does; what they took is spent as it comes, and the rest goes back at the end. So
 * requests side by side stay within the limit together, and an answer that breaks off costs what it took, whichever
 * route asked for it.
 */
import type { Completion, CompletionEvent, CompletionRequest, CompletionService } from './completion.ts';
import type { KeyRing } from './key-ring.ts';

/** OpenAI's own estimate of a text that is not tokenised yet. */
const charsPerToken = 4;
/** Set aside for an answer without max_tokens: most are shorter, and a longer one goes into debt. */
const answerTokensUsual = 256;

export function meteredCompletions(inner: CompletionService, keys: KeyRing): CompletionService {
  return {
    async start(request): Promise<Completion> {
      const account = keys.accountOf(request.owner);
      if (account === undefined) return await inner.start(request);
      const reservation = account.reserve(tokensWanted(request), request.admitted);
      // A client that leaves early may have its answer never read.
      request.signal.addEventListener('abort', settle, { once: true });
      function settle(): void {
        request.signal.removeEventListener('abort', settle);
        reservation.release();
      }
      try {
        const completion = await inner.start(request);
        reservation.spend(completion.promptIds.length);
        let open = completion.choices.length;
        const onEnd = (): void => {
          open -= 1;
          if (open === 0) settle();
        };
        const choices = completion.choices.map((choice) => counted(choice, reservation.spend, onEnd));
        return { ...completion, choices, events: choices[0]! };
      } catch (error) {
        settle();
        throw error;
      }
    },
  };
}

async function* counted(
  events: AsyncIterable<CompletionEvent>,
  spend: (tokens: number) => void,
  onEnd: () => void,
): AsyncGenerator<CompletionEvent> {
  try {
    for await (const event of events) {
      if (event.type === 'text') spend(event.ids.length);
      yield event;
    }
  } finally {
    onEnd();
  }
}

function tokensWanted({ promptIds, messages, maxTokens, choices = 1 }: CompletionRequest): number {
  const chars = messages.reduce((sum, { content }) => sum + content.length, 0);
  const prompt = promptIds?.length ?? Math.ceil(chars / charsPerToken);
  return prompt + choices * (maxTokens ?? answerTokensUsual);
}
