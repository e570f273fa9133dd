/** FORETOKEN_DRAFT as a path: any model file of the target's vocabulary drafts, and any other is refused before it starts. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../shards/clock.ts';
import { greedy } from '../../shards/sampler.ts';
import { ConfigError } from '../../src/config.ts';
import { type LocalDraft, openLocalDraft } from '../../src/local-draft.ts';
import { readGguf } from '../../src/models/gguf.ts';
import { openStore } from '../../src/models/store.ts';
import { createTokenizer } from '../../src/text/tokenizer.ts';
import { encodeGguf } from '../support/gguf-encoder.ts';
import { plainIds } from '../support/plain-decoding.ts';
import { makeTinyModel, type TinyModel } from '../support/tiny-cluster.ts';
import { type TinyGgufOptions, tinyGguf } from '../support/tiny-gguf.ts';

const prompt = Array.from({ length: 30 }, (_, i) => 3 + ((i * 37) % 200));

async function open(model: TinyModel, draft: string): Promise<LocalDraft> {
  const home = join(dirname(model.path), 'home');
  return openLocalDraft({
    ...{ draft, home, now: systemClock.now, onFailure: (error) => assert.fail(error) },
    target: { name: 'tiny', path: model.path, sha256: model.sha256, bytes: 0, entry: null },
    resolve: { store: await openStore(home) },
  });
}

/** Six tokens behind the prompt. */
async function draftOf(t: TestContext, model: TinyModel, path: string): Promise<number[]> {
  const start = await open(model, path);
  const drafter = await start!(createTokenizer((await readGguf(model.path)).metadata));
  t.after(() => drafter.dispose());
  const sequence = { id: 's', tokens: prompt, promptLength: prompt.length, prediction: null, owner: 'o' };
  const request = { sequence: { ...sequence, sampling: greedy }, draftTokensMax: 6 };
  const [draft] = await drafter.draft([request], new AbortController().signal);
  assert.equal(draft!.source, 'lm');
  return [...draft!.ids];
}

async function write(model: TinyModel, name: string, gguf: ReturnType<typeof tinyGguf>): Promise<string> {
  const path = join(dirname(model.path), name);
  await writeFile(path, encodeGguf(gguf));
  return path;
}

const smaller: TinyGgufOptions = { layers: 2, hidden: 32, heads: 2, kvHeads: 1, ffn: 64, seed: 7 };

test('a model file drafts: the target itself what it says, a smaller one with a longer vocabulary something', async (t) => {
  const model = await makeTinyModel(t);
  const own = await plainIds(model, prompt, 6, { sampling: greedy, eosIds: [], ignoreEos: true });
  assert.deepEqual(await draftOf(t, model, model.path), own);
  const other = await write(model, 'small.gguf', tinyGguf({ ...smaller, vocab: 352 }));
  assert.ok((await draftOf(t, model, other)).length > 0);
});

test('a model of another vocabulary is refused with the first token that differs', async (t) => {
  const model = await makeTinyModel(t);
  const gguf = tinyGguf(smaller);
  const tokens = gguf.metadata.get('tokenizer.ggml.tokens') as { type: 'strings'; value: string[] };
  const swapped = tokens.value.toSpliced(270, 2, tokens.value[271]!, tokens.value[270]!);
  const metadata = new Map(gguf.metadata).set('tokenizer.ggml.tokens', { ...tokens, value: swapped });
  const path = await write(model, 'other.gguf', { ...gguf, metadata });
  await assert.rejects(open(model, path), (error) => {
    assert.ok(error instanceof ConfigError);
    assert.match(
      error.message,
      /^FORETOKEN_DRAFT=.*other\.gguf cannot be used: .*vocabulary: id 270 is ".*choose/,
    );
    return true;
  });
});

test('no local drafter where none is asked for, or none is known', async (t) => {
  const model = await makeTinyModel(t);
  assert.equal(await open(model, 'none'), null);
  assert.equal(await open(model, 'auto'), null);
});
