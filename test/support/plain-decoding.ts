/** Plain decoding of the tiny model: one local engine that is fed one token a pass — no wire, no scheduler, no drafts. */

import type { TailOptions } from '../../shards/engine.ts';
import { createLocalEngine } from '../../shards/local-engine.ts';
import { forwardAlone } from './forward-alone.ts';
import type { TinyModel } from './tiny-cluster.ts';
import { tinyModel } from './tiny-gguf.ts';

/** Ids behind the prompt: up to `maxTokens`, or to the end that the tail tells. */
export async function plainIds(
  model: TinyModel,
  promptIds: readonly number[],
  maxTokens: number,
  options: Omit<TailOptions, 'promptLength' | 'minTokens'>,
): Promise<number[]> {
  const pack = await model.pack({ start: 0, end: tinyModel.layers });
  const engine = await createLocalEngine({ ...pack, threads: 1, kvBytesMax: 64 << 20, minRows: 2 });
  try {
    await engine.open('plain', null);
    await engine.openTail('plain', { ...options, promptLength: promptIds.length, minTokens: 0 });
    const tokens = [...promptIds];
    for (let position = 0; tokens.length < promptIds.length + maxTokens; position++) {
      const ids = Uint32Array.of(tokens[position]!);
      const headFrom = position + 1 < promptIds.length ? 1 : 0;
      const { verdict } = await forwardAlone(engine, {
        session: 'plain',
        position,
        ids,
        hidden: null,
        headFrom,
      });
      if (verdict !== null) tokens.push(...verdict.ids);
      if (verdict?.finished === true) break;
    }
    return tokens.slice(promptIds.length);
  } finally {
    await engine.dispose();
  }
}
