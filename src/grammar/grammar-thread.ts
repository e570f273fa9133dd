/** The far side of grammar-check.ts: compiles what it is sent and answers null, or the reason why it cannot. */
import { parentPort, workerData } from 'node:worker_threads';
import { createGrammars } from '../../shards/grammar.ts';
import { readGguf } from '../models/gguf.ts';
import { modelDims } from '../models/model-dims.ts';
import { createTokenizer } from '../text/tokenizer.ts';

const port = parentPort!;
const { modelPath } = workerData as { readonly modelPath: string };
const file = await readGguf(modelPath);
const tokenizer = createTokenizer(file.metadata);
const grammars = createGrammars(
  async () => Array.from({ length: tokenizer.vocabSize }, (_, id) => tokenizer.tokenBytes(id)),
  modelDims(file).vocab,
);

port.on('message', async (ebnf: string) => {
  try {
    const matcher = await grammars.open(ebnf, tokenizer.eosIds);
    matcher.mask();
    matcher.dispose();
    port.postMessage(null);
  } catch (error) {
    port.postMessage(error instanceof Error ? error.message : String(error));
  }
});
