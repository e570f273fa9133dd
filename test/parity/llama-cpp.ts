/**
 * llama.cpp through node-llama-cpp's prebuilt CPU library, as the other side of every comparison here. The package lives
 * in this folder's own node_modules, outside the product's install, so it is imported by a name that the type checker
 * does not follow and narrowed to what is used.
 */
const packageName = 'node-llama-cpp';

interface LlamaModel {
  tokenize(text: string, specialTokens: boolean): number[];
  createContext(options: object): Promise<LlamaContext>;
  dispose(): Promise<void>;
}

interface LlamaContext {
  getSequence(): LlamaSequence;
  dispose(): Promise<void>;
}

interface LlamaSequence {
  controlledEvaluate(items: readonly unknown[]): Promise<readonly LlamaOutput[]>;
}

interface LlamaOutput {
  readonly next: { readonly logits: ReadonlyMap<number, number>; readonly totalLogitWeight: number };
}

interface Llama {
  loadModel(options: object): Promise<LlamaModel>;
}

/** What llama.cpp predicts behind each token of a sequence but the last. */
export interface LlamaScores {
  /** Nats of the token that follows in truth. */
  readonly nll: readonly number[];
  readonly top: readonly number[];
}

export interface LlamaCpp {
  /** ids[i] for texts[i]; `special`: are the names of control tokens parsed? Loads the vocabulary only. */
  tokenize(path: string, texts: readonly string[], special: boolean): Promise<number[][]>;
  /** `cacheType`: of its keys and values; it has F16 by default, our engine F32. */
  score(
    path: string,
    sequences: readonly (readonly number[])[],
    cacheType: 'F16' | 'F32',
  ): Promise<LlamaScores[]>;
}

/** Null, with a printed line, where node-llama-cpp is not installed. */
export async function loadLlamaCpp(): Promise<LlamaCpp | null> {
  let getLlama: (options: object) => Promise<Llama>;
  try {
    ({ getLlama } = await import(packageName));
  } catch {
    console.error('parity tests are skipped: run npm ci --ignore-scripts in test/parity first');
    return null;
  }
  const options = { gpu: false, build: 'never', skipDownload: true, logLevel: 'disabled', maxThreads: 1 };
  const llama = await getLlama(options);

  return {
    async tokenize(path, texts, special) {
      const model = await llama.loadModel({ modelPath: path, vocabOnly: true });
      try {
        return texts.map((text) => Array.from(model.tokenize(text, special)));
      } finally {
        await model.dispose();
      }
    },
    async score(path, sequences, cacheType) {
      const model = await llama.loadModel({ modelPath: path });
      try {
        const scores: LlamaScores[] = [];
        for (const ids of sequences) scores.push(await scoreSequence(model, ids, cacheType));
        return scores;
      } finally {
        await model.dispose();
      }
    },
  };
}

async function scoreSequence(
  model: LlamaModel,
  ids: readonly number[],
  cacheType: string,
): Promise<LlamaScores> {
  const context = await model.createContext({
    contextSize: Math.max(256, ids.length + 8),
    sequences: 1,
    batchSize: 512,
    threads: 1,
    flashAttention: false,
    experimentalKvCacheKeyType: cacheType,
    experimentalKvCacheValueType: cacheType,
  });
  try {
    // Sampling options must name the whole distribution: the default top-k of 40 would cut its tail.
    const whole = { temperature: 1, topK: 0, topP: 1, minP: 0 };
    const items = ids.slice(0, -1).map((id, i) => {
      const logits = { filter: { tokens: [ids[i + 1]], includeTop: 1 } };
      return [id, { generateNext: { totalLogitWeight: true, logits, options: whole } }];
    });
    const outputs = await context.getSequence().controlledEvaluate(items);
    const scores = items.map((_, i) => scoreOf(outputs[i], ids[i + 1]));
    return { nll: scores.map(({ nll }) => nll), top: scores.map(({ top }) => top) };
  } finally {
    await context.dispose();
  }
}

/** totalLogitWeight is the sum of exp(logit - largest logit). */
function scoreOf(
  { next: { logits, totalLogitWeight } }: LlamaOutput,
  truth: number,
): { nll: number; top: number } {
  const [top, largest] = [...logits].reduce((a, b) => (b[1] > a[1] ? b : a));
  return { top, nll: Math.log(totalLogitWeight) + largest - logits.get(truth)! };
}
