/**
 * The local draft model that FORETOKEN_DRAFT asks for, packed over its whole range and run in a thread of the
 * gateway. `auto` takes the one that the catalog names for the served model, if any.
 */
import { join } from 'node:path';
import type { Drafter } from './drafting/drafter.ts';
import { startLmDrafter } from './drafting/lm-drafter.ts';
import { sameVocabulary } from './drafting/vocabulary.ts';
import { readGguf } from './models/gguf.ts';
import { modelDims } from './models/model-dims.ts';
import { packShard } from './models/pack.ts';
import { type ResolvedModel, type ResolveOptions, resolveModel } from './models/pull.ts';
import { createTokenizer, type Tokenizer } from './text/tokenizer.ts';

/** Keys and values of all sequences in the draft model: a draft model is small, and so are its rows. */
const draftKvBytesMax = 256 * 2 ** 20;

export interface LocalDraftOptions {
  /** auto, none, a catalog name or a path. */
  readonly draft: string;
  readonly target: ResolvedModel;
  readonly home: string;
  readonly resolve: ResolveOptions;
  readonly now: () => number;
  readonly onFailure: (error: Error) => void;
}

/** Starts the drafter for a target's vocabulary; null where there is none to start. */
export type LocalDraft = ((target: Tokenizer) => Promise<Drafter>) | null;

/** Fetches and packs the draft model. Throws PullError, ModelFileError; the returned function throws Error, TextError. */
export async function openLocalDraft(options: LocalDraftOptions): Promise<LocalDraft> {
  const { target, home, resolve } = options;
  const name = options.draft === 'auto' ? (target.entry?.draft ?? 'none') : options.draft;
  if (name === 'none') return null;
  const model = await resolveModel(name, resolve);
  const file = await readGguf(model.path);
  const dims = modelDims(file);
  const range = { start: 0, end: dims.layers };
  const pack = await packShard({
    file,
    sha256: model.sha256,
    modelName: model.name,
    range,
    quantisation: 'native',
    directory: join(home, 'packs', `${model.sha256.slice(0, 16)}-native-0-${dims.layers}`),
    ...(resolve.signal === undefined ? {} : { signal: resolve.signal }),
  });
  return (tokenizer) => {
    sameVocabulary(tokenizer.tokens, createTokenizer(file.metadata).tokens);
    return startLmDrafter({
      model: {
        onnxPath: pack.onnxPath,
        dims,
        range,
        threads: 1,
        // A draft need not be exact, and a single row is cheapest as it is.
        minRows: 1,
        kvBytesMax: draftKvBytesMax,
        targetVocab: tokenizer.vocabSize,
        eosIds: tokenizer.eosIds,
      },
      now: options.now,
      onFailure: options.onFailure,
    });
  };
}
