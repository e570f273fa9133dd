/** A throw-away store and made-up catalog entries for tests of pulling. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CatalogEntry } from '../../src/models/catalog.ts';
import type { PullLimits } from '../../src/models/fetch-job.ts';
import { type ModelStore, openStore } from '../../src/models/store.ts';

export interface ModelHome {
  readonly home: string;
  readonly store: ModelStore;
  /** Paths of all files below the store, relative, sorted. */
  files(): string[];
  remove(): void;
}

export async function openModelHome(): Promise<ModelHome> {
  const home = mkdtempSync(join(tmpdir(), 'foretoken-home-'));
  const store = await openStore(home);
  return {
    home,
    store,
    files: () =>
      readdirSync(store.directory, { recursive: true, withFileTypes: true })
        .filter((entry) => !entry.isDirectory())
        .map((entry) => join(entry.parentPath, entry.name).slice(store.directory.length + 1))
        .sort(),
    remove: () => rmSync(home, { recursive: true, force: true }),
  };
}

/** Times that make a failing test short. */
export const quickLimits: Partial<PullLimits> = {
  connectTimeoutMs: 500,
  headersTimeoutMs: 500,
  stallTimeoutMs: 500,
  retryDelayMs: 5,
};

export function sha256Of(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

/** Bytes that no compression shortens. */
export function madeContent(bytes: number): Uint8Array {
  return randomBytes(bytes);
}

/** An entry pinned to `content`, to be overridden where a test wants it otherwise. */
export function entryFor(
  content: Uint8Array,
  sources: readonly string[],
  overrides: Partial<CatalogEntry> = {},
): CatalogEntry {
  return {
    name: 'made-up',
    title: 'Made up',
    sources,
    sha256: sha256Of(content),
    bytes: content.byteLength,
    licence: 'CC0-1.0',
    contextLength: 64,
    draft: null,
    ...overrides,
  };
}
