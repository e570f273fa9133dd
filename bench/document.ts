/**
 * Generated sections of docs/benchmarks.md: each stands between two marks that carry its key, and a new run replaces
 * its own section alone.
 */
import { readFile, writeFile } from 'node:fs/promises';

const preamble =
  '# Benchmarks\n\nWritten by `npm run bench`; edit nothing between the marks. Every section says under which conditions its numbers hold.\n';

/** Replaces the section of that key, or appends it; a missing file is begun. */
export async function writeSection(path: string, key: string, title: string, body: string): Promise<void> {
  let text = preamble;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  await writeFile(path, withSection(text, key, `## ${title}\n\n${body}`));
}

export function withSection(text: string, key: string, section: string): string {
  const begin = `<!-- begin ${key} -->`;
  const end = `<!-- end ${key} -->`;
  const block = `${begin}\n${section.trim()}\n${end}`;
  const from = text.indexOf(begin);
  const to = text.indexOf(end, from);
  if (from === -1 || to === -1) return `${text.trimEnd()}\n\n${block}\n`;
  return `${text.slice(0, from)}${block}${text.slice(to + end.length)}`;
}
