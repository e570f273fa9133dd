/** The HTTP edge over a fake engine, closed when the test ends; a real socket and the official SDK where asked for. */
import type { DatabaseSync } from 'node:sqlite';
import type { TestContext } from 'node:test';
import type { FastifyInstance } from 'fastify';
import OpenAI from 'openai';
import { pino } from 'pino';
import type { Readiness } from '../../routes/health.ts';
import type { ModelCard } from '../../routes/models.ts';
import type { EventStreamLimits } from '../../routes/sse.ts';
import { buildApp } from '../../src/app.ts';
import { createKeyRing, type KeyRing } from '../../src/key-ring.ts';
import { createMetrics } from '../../src/metrics.ts';
import { createPromptEncoder } from '../../src/prompt-encoder.ts';
import { openDatabase } from '../../src/responses/database.ts';
import { createChatTemplate } from '../../src/text/chat-template.ts';
import { createTokenizer } from '../../src/text/tokenizer.ts';
import { type FakeAnswer, type FakeCompletions, fakeCompletions } from './fake-completions.ts';
import { tinyTextMetadata } from './text-metadata.ts';

export const card: ModelCard = {
  id: 'tiny/model-1',
  created: 1_700_000_000,
  contextLength: 512,
  fingerprint: 'abc',
};

const metadata = tinyTextMetadata();
const tokenizer = createTokenizer(metadata);
/** The tiny model's own text, with the context of the card. */
export const tinyPrompts = createPromptEncoder({
  tokenizer,
  template: createChatTemplate(metadata, tokenizer),
  contextLength: card.contextLength,
});

/** Limits of a key that has none. */
export const unlimited = { requestsPerMin: null, tokensPerMin: null, parallel: null };

export interface EdgeOptions {
  readonly answer?: FakeAnswer | (() => FakeAnswer);
  readonly readiness?: Readiness;
  readonly allowPublic?: boolean;
  readonly adminKey?: string;
  readonly corsOrigins?: readonly string[];
  readonly keys?: KeyRing;
  readonly limits?: EventStreamLimits;
  readonly connectionLifetimeMs?: number;
  /** Where responses are kept; ':memory:' unless told. */
  readonly storePath?: string;
  readonly storeBytesMax?: number;
  /** Receives every log line. */
  readonly logLines?: string[];
}

export interface Edge {
  readonly app: FastifyInstance;
  readonly completions: FakeCompletions;
  readonly database: DatabaseSync;
}

export const hello: FakeAnswer = { rounds: [['Hel', 'lo'], [''], [' wörld', '!']] };

export async function openEdge(t: TestContext, options: EdgeOptions = {}): Promise<Edge> {
  const completions = fakeCompletions(options.answer ?? hello);
  const lines = options.logLines;
  const database = openDatabase(options.storePath ?? ':memory:');
  const app = await buildApp({
    completions,
    prompts: () => tinyPrompts,
    store: { database, bytesMax: options.storeBytesMax ?? 2 ** 26 },
    models: { list: () => [card] },
    readiness: () => options.readiness ?? { state: 'ready', detail: null },
    metrics: createMetrics({ modelName: card.id, load: () => ({ running: 1, waiting: 2 }) }),
    config: {
      allowPublic: options.allowPublic ?? false,
      adminKey: options.adminKey ?? null,
      corsOrigins: [...(options.corsOrigins ?? [])],
    },
    keys: options.keys ?? createKeyRing([], unlimited, () => 0),
    log: lines === undefined ? pino({ level: 'silent' }) : pino({}, { write: (line) => lines.push(line) }),
    ...(options.limits && { limits: options.limits }),
    ...(options.connectionLifetimeMs && { connectionLifetimeMs: options.connectionLifetimeMs }),
  });
  t.after(async () => {
    await app.close();
    if (database.isOpen) database.close();
  });
  return { app, completions, database };
}

/** An edge that listens on a free port. */
export async function listenEdge(
  t: TestContext,
  options: EdgeOptions = {},
): Promise<Edge & { origin: string; client: OpenAI }> {
  const edge = await openEdge(t, options);
  const origin = await edge.app.listen({ host: '127.0.0.1', port: 0 });
  const client = new OpenAI({ baseURL: `${origin}/v1`, apiKey: 'none', maxRetries: 0 });
  return { ...edge, origin, client };
}

export const chat = { model: card.id, messages: [{ role: 'user' as const, content: 'Hi' }] };

/** Waits until it holds; fails after two seconds. */
export async function eventually(holds: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 2000;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`did not come true: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
