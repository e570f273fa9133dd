/**
 * The default model for tests that need real weights: out of the user's own store, pulled through the catalog if absent.
 * Where no source can be reached the tests skip, with a printed line.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { defaultModelName } from '../../src/models/catalog.ts';
import { resolveModel } from '../../src/models/pull.ts';
import { PullError } from '../../src/models/pull-error.ts';
import { openStore } from '../../src/models/store.ts';

let resolved: Promise<string | null> | null = null;

/** Path of the default model, or null if it cannot be had here. Pulls once per process; processes wait for one another. */
export function realModelPath(): Promise<string | null> {
  resolved ??= resolve();
  return resolved;
}

/** The store that `npm start` uses. */
export function realHome(): string {
  return process.env['FORETOKEN_HOME'] ?? join(homedir(), '.cache', 'foretoken');
}

async function resolve(): Promise<string | null> {
  const log = { info: (text: string) => console.error(text), warn: (text: string) => console.error(text) };
  try {
    const store = await openStore(realHome());
    return (await resolveModel(defaultModelName, { store, log })).path;
  } catch (error) {
    if (!(error instanceof PullError)) throw error;
    console.error(`tests with the real model are skipped: ${error.message}`);
    return null;
  }
}
