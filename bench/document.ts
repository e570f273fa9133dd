/**
 * Generated sections of docs/benchmarks.md: each stands between two marks that carry its key, and a new run replaces
 * its own section alone.
 */
import { readFile, writeFile } from 'node:fs/promises';

/** Beginnings of keys in the order of their sections; others come last. */
const order = [
  ...['goals', 'wan-4-t1-15-ms', 'wan', 'load-4-15', 'load', 'simulate', 'prefill', 'batching'],
  ...['drafters', 'adaptive', 'sweep', 'peer'],
];

const preamble =
  '# Benchmarks\n\nWritten by `npm run bench`; edit nothing between the marks. Every section says under which conditions its numbers hold.\n';

/** Replaces the section of that key, or puts it in its place; a missing file is begun. */
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
  if (from === -1 || to === -1) return withNew(text, key, block);
  return `${text.slice(0, from)}${block}${text.slice(to + end.length)}`;
}

function withNew(text: string, key: string, block: string): string {
  const behind = [...text.matchAll(/<!-- begin (\S+) -->/g)].find(([, other]) => rankOf(other) > rankOf(key));
  if (behind === undefined) return `${text.trimEnd()}\n\n${block}\n`;
  return `${text.slice(0, behind.index)}${block}\n\n${text.slice(behind.index)}`;
}

function rankOf(key: string): number {
  const rank = order.findIndex((beginning) => key.startsWith(beginning));
  return rank === -1 ? order.length : rank;
}
