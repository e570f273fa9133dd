/** Where a report goes besides the terminal: a JSON file, and sections with plots of docs/benchmarks.md. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { writeSection } from './document.ts';
import { type Plot, plotLinks, writePlots } from './plot-files.ts';

export interface Publication {
  /** null: no JSON. */
  readonly jsonPath: string | null;
  /** null: no document. */
  readonly documentPath: string | null;
  readonly print: (line: string) => void;
}

export interface Section {
  readonly key: string;
  readonly title: string;
  readonly body: string;
  readonly plots: readonly Plot[];
}

export async function publish(
  { jsonPath, documentPath, print }: Publication,
  { json, sections }: { readonly json: unknown; readonly sections: readonly Section[] },
): Promise<void> {
  if (jsonPath !== null) {
    await mkdir(dirname(jsonPath), { recursive: true });
    await writeFile(jsonPath, `${JSON.stringify(json, null, 1)}\n`);
    print(`wrote ${jsonPath}`);
  }
  if (documentPath === null) return;
  for (const { key, title, body, plots } of sections) {
    for (const path of await writePlots(documentPath, plots)) print(`wrote ${path}`);
    await writeSection(documentPath, key, title, [body, plotLinks(plots)].filter(Boolean).join('\n\n'));
  }
  print(`wrote ${documentPath}`);
}
