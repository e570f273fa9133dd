/** Plots beside the document that shows them: docs/plots/NAME.svg, and the Markdown that refers to them. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

export interface Plot {
  /** File name without its ending: small letters, digits, dashes. */
  readonly name: string;
  readonly title: string;
  readonly svg: string;
}

/** Writes the plots; resolves with the paths. */
export async function writePlots(documentPath: string, plots: readonly Plot[]): Promise<string[]> {
  const directory = join(dirname(documentPath), 'plots');
  await mkdir(directory, { recursive: true });
  const paths: string[] = [];
  for (const { name, svg } of plots) {
    const path = join(directory, `${name}.svg`);
    await writeFile(path, svg);
    paths.push(path);
  }
  return paths;
}

export function plotLinks(plots: readonly Plot[]): string {
  return plots.map(({ name, title }) => `![${title}](plots/${name}.svg)`).join('\n\n');
}

/** A name that may stand in a path. */
export function plotName(...words: readonly (string | number)[]): string {
  return words
    .join('-')
    .toLowerCase()
    .replace(/[^a-z0-9.]+/g, '-');
}
