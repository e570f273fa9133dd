/**
 * A FORETOKEN_HOME of its own with tiny models in it, for tests over real processes. It goes with the test.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type EncodableGguf, encodeGguf } from './gguf-encoder.ts';
import { tinyGguf, tinyModel, writeTinyGguf } from './tiny-gguf.ts';
import { tinySpecialTokens } from './tiny-vocabulary.ts';

export interface E2eHome {
  readonly folder: string;
  /** Environment of every process that shares this home. */
  readonly env: Readonly<Record<string, string>>;
  /** Writes the tiny model; another seed is another model. */
  tiny(options?: { seed?: number; name?: string }): Promise<string>;
  /** Writes a tiny model that never ends an answer by itself when greedy, with room for long ones. */
  endless(options?: { contextLength?: number; name?: string }): Promise<string>;
  /** The same of one layer, with text that goes round in a circle, so that drafts of it are right: thousands of tokens a second. */
  looping(options?: { contextLength?: number; name?: string }): Promise<string>;
}

export async function makeHome(t: TestContext): Promise<E2eHome> {
  const folder = await mkdtemp(join(tmpdir(), 'foretoken-e2e-'));
  // Processes that a test has just killed may still be writing.
  t.after(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  const pathOf = (name: string): string => join(folder, `${name}.gguf`);
  return {
    folder,
    env: { FORETOKEN_HOME: join(folder, 'home') },
    async tiny({ seed = tinyModel.seed, name = 'tiny' } = {}) {
      return (await writeTinyGguf(pathOf(name), { seed, contextLength: 2048 })).path;
    },
    async endless({ contextLength = 8192, name = 'endless' } = {}) {
      await writeFile(pathOf(name), encodeGguf(endlessGguf(contextLength)));
      return pathOf(name);
    },
    async looping({ contextLength = 16_384, name = 'looping' } = {}) {
      const gguf = endlessGguf(contextLength, 1);
      // Without what the layers add, the next token follows from the last one alone.
      for (const { name, data } of gguf.tensors) if (/attn_output|ffn_down/.test(name)) data.fill(0);
      await writeFile(pathOf(name), encodeGguf(gguf));
      return pathOf(name);
    },
  };
}

/** The head's rows of all tokens that end an answer are zero, so their logits are: the largest of 320 never is. */
function endlessGguf(contextLength: number, layers: number = tinyModel.layers): EncodableGguf {
  const gguf = tinyGguf({ contextLength, layers, tied: false });
  const head = gguf.tensors.find(({ name }) => name === 'output.weight')!;
  const rowBytes = head.data.length / head.shape[0]!;
  for (const id of [tinySpecialTokens.end, tinySpecialTokens.endOfText]) {
    head.data.fill(0, id * rowBytes, (id + 1) * rowBytes);
  }
  return gguf;
}
