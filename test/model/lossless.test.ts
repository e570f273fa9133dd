/** Promise 1 on the default model over real processes: every pair of settings on four prompts. */
import { test } from 'node:test';
import { defaultModelName } from '../../src/models/catalog.ts';
import { fullProduct, pairwise } from '../support/lossless-cases.ts';
import { runRealLossless } from '../support/real-lossless.ts';
import { realModelPath } from '../support/real-model.ts';

test('real weights: every pair of settings gives the ids of plain decoding', async (t) => {
  if ((await realModelPath()) === null) return t.skip('the default model is not here');
  await runRealLossless(t, { model: defaultModelName, cases: pairwise(fullProduct()), prompts: 4 });
});
