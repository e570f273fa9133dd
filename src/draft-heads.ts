/**
 * Where trained draft heads are: those that ship with the project, and those that `npm run train-head` put into the
 * user's own folder. A head serves one model file alone, so it is found by that file's sum; the user's own goes first.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readHeadManifest } from './models/head-file.ts';

const shippedDirectory = fileURLToPath(new URL('../assets/draft-heads', import.meta.url));

/** Manifests looked at in one folder; more than that is no folder of heads. */
const manifestsMax = 256;

/** Folder of the user's own heads. */
export function ownHeadsDirectory(home: string): string {
  return join(home, 'draft-heads');
}

/** Path of the manifest of a head for the model with this sum, or null. Manifests that cannot be read are passed over. */
export async function findDraftHead(home: string, targetSha256: string): Promise<string | null> {
  for (const directory of [ownHeadsDirectory(home), shippedDirectory]) {
    const names = await readdir(directory).catch(() => []);
    const manifests = names.filter((name) => name.endsWith('.json')).sort();
    for (const name of manifests.slice(0, manifestsMax)) {
      const path = join(directory, name);
      const manifest = await readHeadManifest(path).catch(() => null);
      if (manifest?.target.sha256 === targetSha256) return path;
    }
  }
  return null;
}
