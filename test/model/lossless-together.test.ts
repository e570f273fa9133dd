/** Promise 1 on the default model with company: one, four and eight sessions at once, prompts and drafts side by side. */
import { test } from 'node:test';
import { defaultModelName } from '../../src/models/catalog.ts';
import { dimensions, type LosslessCase } from '../support/lossless-cases.ts';
import { runRealLossless } from '../support/real-lossless.ts';
import { realModelPath } from '../support/real-model.ts';

const common: Omit<LosslessCase, 'together' | 'sampling' | 'drafter'> = {
  verification: 'coupled',
  draftLength: 'auto',
  rounds: 'async',
  preDrafting: 'on',
  prediction: 'absent',
  workers: 2,
  topology: 'chain',
  cache: 'as it is',
};

// With two graphs a session alone runs in that of one, with one graph in that of several: the answers must not tell.
test('real weights: one, four and eight sessions at once get the ids of plain decoding', async (t) => {
  if ((await realModelPath()) === null) return t.skip('the default model is not here');
  const cases = dimensions.together.flatMap((together) => [
    { ...common, together, sampling: 'greedy', drafter: 'auto' } as const,
    { ...common, together, sampling: 'sampled', drafter: 'ngram' } as const,
  ]);
  await runRealLossless(t, { model: defaultModelName, cases, prompts: 8, graphs: ['two', 'one'] });
});
