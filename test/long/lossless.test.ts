/** Promise 1 on the default model over real processes, whole: every combination on all prompts. Takes hours. */
import { test } from 'node:test';
import { defaultModelName } from '../../src/models/catalog.ts';
import { fullProduct } from '../support/lossless-cases.ts';
import { losslessPrompts } from '../support/lossless-prompts.ts';
import { runRealLossless } from '../support/real-lossless.ts';
import { realModelPath } from '../support/real-model.ts';

test('real weights: every combination gives the ids of plain decoding', async (t) => {
  if ((await realModelPath()) === null) return t.skip('the default model is not here');
  await runRealLossless(t, {
    model: defaultModelName,
    cases: fullProduct(),
    prompts: losslessPrompts.length,
  });
});
