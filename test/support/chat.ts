/** Chats with a gateway over plain HTTP, as somebody without an SDK would: fetch, and the events as they come. */
import type { ChatChunkBody, ChatCompletionBody } from '../../routes/schemas.ts';
import type { OpenAiErrorBody } from '../../src/errors.ts';

export type ChatFields = Readonly<Record<string, unknown>>;

/** What a stream holds: chunks, at most one error, and '[DONE]' at a good end. */
export type ChatEvent = ChatChunkBody | OpenAiErrorBody | '[DONE]';

export function postChat(baseUrl: string, fields: ChatFields, signal?: AbortSignal): Promise<Response> {
  const body = { messages: [{ role: 'user', content: 'Why is the sky blue?' }], temperature: 0, ...fields };
  return fetch(`${baseUrl}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    ...(signal === undefined ? {} : { signal }),
  });
}

/** A whole answer. Throws with the body when it is an error. */
export async function completeChat(baseUrl: string, fields: ChatFields): Promise<ChatCompletionBody> {
  const response = await postChat(baseUrl, fields);
  const body = (await response.json()) as ChatCompletionBody;
  if (response.status !== 200) throw new Error(`${response.status} ${JSON.stringify(body)}`);
  return body;
}

/** The events of a stream as they arrive. Leaving the loop closes the connection. */
export async function* chatEvents(response: Response): AsyncGenerator<ChatEvent> {
  let text = '';
  for await (const bytes of response.body!.pipeThrough(new TextDecoderStream())) {
    text += bytes;
    const events = text.split('\n\n');
    text = events.pop()!;
    for (const event of events) {
      if (event.startsWith(':')) continue;
      const data = event.slice('data: '.length);
      yield data === '[DONE]' ? data : (JSON.parse(data) as ChatEvent);
    }
  }
  if (text !== '') throw new Error(`the stream ended inside an event: ${text}`);
}

/** The text of these events. */
export function textOf(events: readonly ChatEvent[]): string {
  return events
    .map((event) =>
      typeof event === 'string' || 'error' in event ? '' : (event.choices[0]?.delta.content ?? ''),
    )
    .join('');
}

/** All events of a stream. */
export async function streamChat(baseUrl: string, fields: ChatFields): Promise<ChatEvent[]> {
  return Array.fromAsync(chatEvents(await postChat(baseUrl, { ...fields, stream: true })));
}
