/**
 * What the distributed half needs of a logger: the four levels of pino with fields first. A pino Logger fits as it is.
 * Keys, tokens and prompt ids are never logged.
 */

type LogLine = (fields: Record<string, unknown>, message: string) => void;

export interface Log {
  readonly debug: LogLine;
  readonly info: LogLine;
  readonly warn: LogLine;
  readonly error: LogLine;
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };
