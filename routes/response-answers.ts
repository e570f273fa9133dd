/** The engine as the Responses API asks it: one choice, measured as every other answer is. */
import type { CompletionEvent, CompletionService } from '../src/completion.ts';
import type { StartAnswer } from '../src/responses/run.ts';
import { type AnswerMeasures, type ChoiceEvent, followAnswer } from './answer-events.ts';

export function measuredAnswers(completions: CompletionService, measures: AnswerMeasures): StartAnswer {
  return (request) => {
    const starting = completions.start(request);
    // Whoever left before reading the first event does not hear of it.
    starting.catch(() => {});
    const choices = followAnswer(starting, request.signal, measures);
    return { starting, events: onlyChoice(choices) };
  };
}

async function* onlyChoice(choices: AsyncIterable<ChoiceEvent>): AsyncGenerator<CompletionEvent> {
  for await (const { event } of choices) yield event;
}
