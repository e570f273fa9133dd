/**
 * What crosses between engine-host.ts and engine-thread.ts: calls of the ShardEngine seam with an id, their replies,
 * and errors as plain data (a class does not survive the crossing).
 */
import type { ShardEngine } from './engine.ts';
import { ShardError, type ShardErrorCode, type ShardErrorDetail, toShardError } from './errors.ts';

export type EngineMethod = keyof ShardEngine;

export type EngineCall = {
  [M in EngineMethod]: { readonly id: number; readonly method: M; readonly args: Parameters<ShardEngine[M]> };
}[EngineMethod];

export interface PlainError {
  readonly code: ShardErrorCode;
  readonly message: string;
  readonly detail: ShardErrorDetail;
}

/** Reply 0 says whether the engine could be loaded; all others answer the call of that id. */
export type EngineReply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: PlainError };

export const readyId = 0;

export function toPlainError(error: unknown): PlainError {
  const { code, message, detail } = toShardError(error);
  return { code, message, detail };
}

export function fromPlainError({ code, message, detail }: PlainError): ShardError {
  return new ShardError(code, message, { detail });
}
