/** The parts of the Responses API over one database, wired once. */
import type { DatabaseSync } from 'node:sqlite';
import { type BackgroundRuns, createBackgroundRuns } from './background.ts';
import { type ConversationStore, conversationsMax, createConversationStore } from './conversation-store.ts';
import { createResponseMaker, type ResponseMaker, type ResponseMakerOptions } from './response-maker.ts';
import { createResponseStore, type ResponseStore, responsesMax } from './response-store.ts';

export interface Responses {
  readonly maker: ResponseMaker;
  readonly background: BackgroundRuns;
  readonly stored: ResponseStore;
  readonly conversations: ConversationStore;
}

export interface ResponsesOptions extends Omit<ResponseMakerOptions, 'responses' | 'conversations'> {
  readonly database: DatabaseSync;
  /** Of one owner's responses, and again of its conversations. */
  readonly bytesMax: number;
  readonly pid: number;
  readonly isAlive: (pid: number) => boolean;
}

export function assembleResponses(options: ResponsesOptions): Responses {
  const { database, bytesMax } = options;
  const now = (): number => Math.floor(options.now());
  const stored = createResponseStore({ ...options, limits: { countMax: responsesMax, bytesMax }, now });
  const limits = { countMax: conversationsMax, bytesMax };
  const conversations = createConversationStore({ database, limits, now });
  const maker = createResponseMaker({ ...options, responses: stored, conversations });
  return { maker, background: createBackgroundRuns(maker), stored, conversations };
}
