/** Runs lossless cases on the default model over real processes; each answer must be that of plain decoding. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { Serving } from '../../src/serving.ts';
import type { BatchGraphs } from '../../src/shard-graphs.ts';
import { generate } from './generate.ts';
import {
  byCluster,
  describeCase,
  type LosslessCase,
  policyOf,
  predictionOf,
  samplingOf,
  verificationOf,
} from './lossless-cases.ts';
import { losslessPrompts } from './lossless-prompts.ts';
import { buildFakeCache, startProcessCluster } from './process-cluster.ts';

const maxTokens = 20;
/** Words put before one prompt of four, so that its answer lies beyond 256 positions, where key blocks would differ. */
const preamble = 'It is written in the old book that nothing is lost which is sent in order. '.repeat(20);

export interface RealLosslessOptions {
  readonly model: string;
  readonly cases: readonly LosslessCase[];
  /** How many of the prompts. */
  readonly prompts: number;
  /** Graphs that the workers load, one after the other; left out: as they choose. */
  readonly graphs?: readonly BatchGraphs[];
}

export async function runRealLossless(t: TestContext, options: RealLosslessOptions): Promise<void> {
  const preload = options.cases.some(({ cache }) => cache !== 'as it is') ? await buildFakeCache(t) : null;
  const cases = options.cases.filter(({ cache }) => cache === 'as it is' || preload !== null);
  const plain = new Map<string, number[]>();
  await t.test('plain decoding on one worker', async (t) => {
    const cluster = { workers: 1, topology: 'chain', cache: 'as it is' } as const;
    const serving = await startProcessCluster(t, { model: options.model, ...cluster, preload });
    for (const sampling of ['greedy', 'sampled'] as const) {
      for (const promptIds of promptsFor(serving, options.prompts)) {
        const { ids } = await generate(serving, {
          ...{ promptIds, sampling: samplingOf({ sampling }), maxTokens, eosIds: serving.tokenizer.eosIds },
          policy: { drafter: 'none', draftLength: 0 },
        });
        plain.set(`${sampling} ${promptIds}`, ids);
      }
    }
  });
  let shared = 0;
  const { graphs = ['auto'], model } = options;
  const clusters = graphs.flatMap((batchGraphs) =>
    byCluster(cases).map(([cluster, group]) => [{ ...cluster, batchGraphs }, group] as const),
  );
  for (const [cluster, group] of clusters) {
    const { workers, topology, cache, batchGraphs } = cluster;
    await t.test(
      `${workers} workers, ${topology}, L2 cache ${cache}, graphs ${batchGraphs}: ${group.length} combinations`,
      async (t) => {
        const serving = await startProcessCluster(t, { model, ...cluster, preload });
        const prompts = promptsFor(serving, options.prompts);
        for (const value of group) await runCase(serving, value, prompts, plain);
        for (const { client } of serving.members.route()) {
          const { frames, passes } = (await client.status()).load;
          t.diagnostic(`${frames} frames in ${passes} passes`);
          shared += frames - passes;
        }
      },
    );
  }
  if (cases.some(({ together }) => together > 1)) assert.ok(shared > 0, 'passes are shared');
}

function promptsFor(serving: Serving, count: number): number[][] {
  return losslessPrompts
    .slice(0, count)
    .map((text, i) =>
      serving.prompts.encodeChat([{ role: 'user', content: i % 4 === 2 ? preamble + text : text }]),
    );
}

async function runCase(
  serving: Serving,
  value: LosslessCase,
  prompts: readonly number[][],
  plain: ReadonlyMap<string, number[]>,
): Promise<void> {
  for (let i = 0; i < prompts.length; i += value.together) {
    const batch = prompts.slice(i, i + value.together);
    const answers = await Promise.all(
      batch.map((promptIds) => {
        const expected = plain.get(`${value.sampling} ${promptIds}`)!;
        return generate(serving, {
          ...{ promptIds, sampling: samplingOf(value), maxTokens, eosIds: serving.tokenizer.eosIds },
          policy: policyOf(value),
          tail: { verification: verificationOf(value) },
          prediction: predictionOf(value.prediction, expected),
        }).then(({ ids }) => assert.deepEqual(ids, expected, describeCase(value)));
      }),
    );
    assert.equal(answers.length, batch.length);
  }
}
