/**
 * What crosses between engine-host.ts and engine-thread.ts: calls of the ShardEngine seam with an id, their replies,
 * and errors as plain data (a class does not survive the crossing).
 */
import type { ForwardReport, PassResult, ShardEngine } from './engine.ts';
import { ShardError, type ShardErrorCode, type ShardErrorDetail, toShardError } from './errors.ts';

export type EngineMethod = Exclude<keyof ShardEngine, 'slots'>;

export type EngineCall = {
  [M in EngineMethod]: { readonly id: number; readonly method: M; readonly args: Parameters<ShardEngine[M]> };
}[EngineMethod];

export interface PlainError {
  readonly code: ShardErrorCode;
  readonly message: string;
  readonly detail: ShardErrorDetail;
}

/** A ForwardReport whose errors are plain. */
export interface PlainReport extends Omit<ForwardReport, 'outcomes'> {
  readonly outcomes: readonly ({ readonly result: PassResult } | { readonly error: PlainError })[];
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

export function toPlainReport(report: ForwardReport): PlainReport {
  const outcomes = report.outcomes.map((outcome) =>
    'error' in outcome ? { error: toPlainError(outcome.error) } : outcome,
  );
  return { ...report, outcomes };
}

export function fromPlainReport(report: PlainReport): ForwardReport {
  const outcomes = report.outcomes.map((outcome) =>
    'error' in outcome ? { error: fromPlainError(outcome.error) } : outcome,
  );
  return { ...report, outcomes };
}
