/** The modes of `bench wan`, from plain decoding to everything at once; only adaptive ones are lossy. */
import { adaptiveDefaults } from '../shards/adaptive.ts';
import { type BenchMode, plainChain, plainStar, speculative } from './modes.ts';

export const wanModes: readonly BenchMode[] = [
  plainChain,
  plainStar,
  speculative('text sync', { drafter: 'ngram', rounds: 'sync', preDrafting: false }),
  speculative('text async', { drafter: 'ngram', rounds: 'async' }),
  speculative('head sync', { drafter: 'auto', rounds: 'sync', preDrafting: false }),
  speculative('head sync pre-drafted', { drafter: 'auto', rounds: 'sync', preDrafting: true }),
  speculative('head async', { drafter: 'auto', rounds: 'async' }),
  speculative('warm text sync', { drafter: 'ngram', rounds: 'sync' }, { warm: true }),
  speculative('warm head async', { drafter: 'auto', rounds: 'async' }, { warm: true }),
  speculative(
    'adaptive async',
    { drafter: 'auto', rounds: 'async' },
    { verification: { mode: 'adaptive', ...adaptiveDefaults } },
  ),
  speculative(
    'exact prediction sync',
    { drafter: 'auto', rounds: 'sync', preDrafting: false },
    { predictionEdits: 0 },
  ),
  speculative('exact prediction async', { drafter: 'auto', rounds: 'async' }, { predictionEdits: 0 }),
  speculative(
    '5 % off prediction sync',
    { drafter: 'auto', rounds: 'sync', preDrafting: false },
    { predictionEdits: 0.05 },
  ),
  speculative('5 % off prediction async', { drafter: 'auto', rounds: 'async' }, { predictionEdits: 0.05 }),
];
