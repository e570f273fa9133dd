/**
 * The local drafter that FORETOKEN_DRAFT asks for: a trained draft head or a whole model, packed and run in a thread of
 * the gateway. `auto` takes the head of the served model, else the draft model that the catalog names for it, if any.
 */
import { join } from 'node:path';
import { ConfigError } from './config.ts';
import { findDraftHead } from './draft-heads.ts';
import type { DraftModelOptions } from './drafting/draft-reader.ts';
import type { Drafter } from './drafting/drafter.ts';
import { startLmDrafter } from './drafting/lm-drafter.ts';
import { sameVocabulary } from './drafting/vocabulary.ts';
import { type GgufFile, readGguf } from './models/gguf.ts';
import { readHeadFile } from './models/head-file.ts';
import { packHead } from './models/head-pack.ts';
import { modelDims } from './models/model-dims.ts';
import { packShard } from './models/pack.ts';
import { type ResolvedModel, type ResolveOptions, resolveModel } from './models/pull.ts';
import { createTokenizer, type Tokenizer } from './text/tokenizer.ts';

/** Keys and values of all sequences in the draft model: a draft model is small, and so are its rows. */
const draftKvBytesMax = 256 * 2 ** 20;

export interface LocalDraftOptions {
  /** auto, none, the manifest of a draft head, a catalog name or a path. */
  readonly draft: string;
  readonly target: ResolvedModel;
  readonly home: string;
  readonly resolve: ResolveOptions;
  readonly now: () => number;
  readonly onFailure: (error: Error) => void;
}

/** Starts the drafter for a target's vocabulary; null where there is none to start. */
export type LocalDraft = ((target: Tokenizer) => Promise<Drafter>) | null;

/**
 * Fetches and packs the draft model. Throws PullError, ModelFileError, TextError, and ConfigError for one that cannot draft
 * for the target; the returned function throws Error.
 */
export async function openLocalDraft(options: LocalDraftOptions): Promise<LocalDraft> {
  const { draft, target, home } = options;
  if (draft === 'none') return null;
  const head = draft === 'auto' ? await findDraftHead(home, target.sha256) : draft;
  if (head?.endsWith('.json')) return openHead(head, options);
  const name = draft === 'auto' ? (target.entry?.draft ?? 'none') : draft;
  return name === 'none' ? null : openModel(name, options);
}

async function openHead(manifestPath: string, options: LocalDraftOptions): Promise<LocalDraft> {
  const { target, home } = options;
  const pack = await packHead({
    head: await readHeadFile(manifestPath),
    target: await readGguf(target.path),
    targetSha256: target.sha256,
    packsDirectory: join(home, 'packs'),
  });
  return (tokenizer) =>
    startLmDrafter({
      name: 'head',
      model: { ...pack, ...limitsFor(tokenizer) },
      now: options.now,
      onFailure: options.onFailure,
    });
}

async function openModel(name: string, options: LocalDraftOptions): Promise<LocalDraft> {
  const { home, resolve, target } = options;
  const model = await resolveModel(name, resolve);
  const file = await readGguf(model.path);
  refuseOtherVocabulary(name, { draft: file, target: await readGguf(target.path) });
  const dims = modelDims(file);
  const range = { start: 0, end: dims.layers };
  const { onnxPath } = await packShard({
    file,
    sha256: model.sha256,
    modelName: model.name,
    range,
    quantisation: 'native',
    directory: join(home, 'packs', `${model.sha256.slice(0, 16)}-native-0-${dims.layers}`),
    ...(resolve.signal === undefined ? {} : { signal: resolve.signal }),
  });
  return (tokenizer) =>
    startLmDrafter({
      model: { onnxPath, dims, range, ...limitsFor(tokenizer) },
      now: options.now,
      onFailure: options.onFailure,
    });
}

/** Before anything is packed or started. Throws ConfigError. */
function refuseOtherVocabulary(
  name: string,
  { draft, target }: { readonly draft: GgufFile; readonly target: GgufFile },
): void {
  const ours = createTokenizer(target.metadata).tokens;
  const theirs = createTokenizer(draft.metadata).tokens;
  try {
    sameVocabulary(ours, theirs);
  } catch (error) {
    throw new ConfigError([`FORETOKEN_DRAFT=${name} cannot be used: ${(error as Error).message}.`]);
  }
}

function limitsFor({ vocabSize, eosIds }: Tokenizer): Omit<DraftModelOptions, 'onnxPath' | 'dims' | 'range'> {
  return {
    threads: 1,
    // A draft need not be exact, and a single row is cheapest as it is.
    minRows: 1,
    kvBytesMax: draftKvBytesMax,
    targetVocab: vocabSize,
    eosIds,
  };
}
