/**
 * Stop strings over real workers: whatever drafts, and wherever a string lies (inside a verified block, across blocks and
 * tokens, in the middle of a character of several bytes), the text ends right before its first occurrence, and no byte of
 * it or after it is ever sent.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DraftPolicy } from '../src/drafting/drafter.ts';
import type { Serving } from '../src/serving.ts';
import { makeTinyModel, startTinyCluster } from './support/tiny-cluster.ts';

const maxTokens = 48;
const policies: readonly DraftPolicy[] = [
  { drafter: 'none', draftLength: 0 },
  { drafter: 'ngram', draftLength: 3 },
  { drafter: 'lm', draftLength: 8, rounds: 'sync' },
  { drafter: 'lm', draftLength: 16, rounds: 'async' },
  { drafter: 'auto', draftLength: 'auto' },
];

interface Said {
  readonly deltas: readonly string[];
  readonly reason: string;
  readonly completionTokens: number;
}

async function ask(
  { completions, tokenizer }: Serving,
  part: { readonly stop: readonly string[]; readonly speculation: DraftPolicy; readonly seed: bigint },
): Promise<Said> {
  const completion = await completions.start({
    ...{ messages: [], promptIds: tokenizer.encodeText('Grüße 東京: ') },
    ...{ temperature: 1.2, topP: 1, topK: 0, minP: 0, maxTokens, ignoreEos: true },
    ...{ prediction: null, owner: 'test', signal: new AbortController().signal },
    ...part,
  });
  const deltas: string[] = [];
  for await (const event of completion.events) {
    if (event.type === 'text') deltas.push(...event.deltas);
    else return { deltas, reason: event.reason, completionTokens: event.usage.completionTokens };
  }
  throw new Error('no finish event');
}

/** Strings of the text itself, over every border there is, one that it does not have, and several at once. */
function stopsOf(text: string): string[][] {
  const characters = [...text];
  const pieces: string[][] = [];
  for (let at = 1; at < characters.length - 4; at += Math.ceil(characters.length / 9)) {
    pieces.push([characters[at]!], [characters.slice(at, at + 4).join('')]);
  }
  const wide = characters.findIndex((character) => Buffer.byteLength(character) > 1);
  if (wide >= 0) pieces.push([characters[wide]!], [characters.slice(wide, wide + 2).join('')]);
  return [...pieces, [`${text.slice(10, 14)}§`], pieces.slice(0, 4).flat()];
}

test('an answer ends right before its first stop string, whatever drafts', async (t) => {
  const { serving } = await startTinyCluster(t, await makeTinyModel(t), {
    ...{ workers: 2, topology: 'chain', lm: true },
  });
  let [cases, wides] = [0, 0];
  for (const seed of [3n, 4n]) {
    const whole = await ask(serving, { stop: [], speculation: policies[0]!, seed });
    const text = whole.deltas.join('');
    for (const stop of stopsOf(text)) {
      const ends = stop.map((one) => text.indexOf(one)).filter((at) => at >= 0);
      const wanted = ends.length === 0 ? text : text.slice(0, Math.min(...ends));
      let tokens: number | null = null;
      for (const speculation of policies) {
        const said = await ask(serving, { stop, speculation, seed });
        const what = JSON.stringify([stop, speculation, String(seed)]);
        assert.equal(said.deltas.join(''), wanted, what);
        assert.equal(said.reason, ends.length === 0 ? 'length' : 'stop', what);
        // What is billed is the same, too: tokens behind the stop string are nobody's.
        tokens ??= said.completionTokens;
        assert.equal(said.completionTokens, tokens, what);
        cases += 1;
      }
      if (stop.some((one) => Buffer.byteLength(one) > one.length)) wides += 1;
    }
  }
  assert.ok(cases > 100, `${cases} cases`);
  assert.ok(wides > 0, 'no stop string has characters of several bytes');
});
