/**
 * Promise 1 on the tiny model, over real HTTP/2: every combination of sampling, drafter, verification, draft length,
 * prediction, number of workers, topology, company and order of sessions gives the ids of plain decoding. Plain decoding here is one local engine
 * that is fed one token at a time — no wire, no scheduler, no drafts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { schedulingPolicies } from '../src/engine/policy.ts';
import type { Serving } from '../src/serving.ts';
import { eventually } from './support/eventually.ts';
import { generate } from './support/generate.ts';
import {
  alternate,
  byCluster,
  describeCase,
  fullProduct,
  type LosslessCase,
  policyOf,
  predictionOf,
  samplingOf,
  verificationOf,
} from './support/lossless-cases.ts';
import { losslessPrompts } from './support/lossless-prompts.ts';
import { plainIds } from './support/plain-decoding.ts';
import { makeTinyModel, startTinyCluster } from './support/tiny-cluster.ts';

const maxTokens = 10;

test('every drafter, length, prediction, cut, topology and company gives the ids of plain decoding', async (t) => {
  const model = await makeTinyModel(t);
  const candidates = fullProduct({ cache: 'as it is' });
  const cases = alternate(candidates, ['rounds', 'preDrafting', 'together', 'verification', 'topology'], 2);
  let plain: Map<string, number[]> | null = null;
  const prompts: number[][] = [];
  let answers = 0;
  let hits = 0;
  let shared = 0;
  for (const [{ workers, topology }, group] of byCluster(cases)) {
    await t.test(`${workers} workers, ${topology}, ${group.length} combinations`, async (t) => {
      // Eight together over four that may be at work: who gives way to whom is each policy's own.
      const scheduling = schedulingPolicies[workers % schedulingPolicies.length];
      const options = { workers, topology, scheduling, sessionsMax: 4, lm: true, head: true };
      const { serving, workers: running } = await startTinyCluster(t, model, options);
      if (plain === null) {
        plain = new Map();
        // One in four keeps its length and goes over several prefill chunks; the others are quick.
        for (const [i, text] of losslessPrompts.entries()) {
          const ids = serving.tokenizer.encodeText(text);
          prompts.push(i % 4 === 0 ? ids : ids.slice(0, 24));
        }
        for (const sampling of ['greedy', 'sampled'] as const) {
          for (const promptIds of prompts) {
            const tail = { sampling: samplingOf({ sampling }), eosIds: [], ignoreEos: true };
            plain.set(keyOf(sampling, promptIds), await plainIds(model, promptIds, maxTokens, tail));
          }
        }
      }
      for (const value of group) {
        hits += await runCase(serving, value, prompts, plain);
        answers += prompts.length;
      }
      await eventually('all sessions are closed', () =>
        running.every(({ sessionCount }) => sessionCount === 0),
      );
      for (const { counters } of running) {
        const { frames, passes } = counters;
        t.diagnostic(`${frames} frames in ${passes} passes`);
        shared += frames - passes;
      }
    });
  }
  t.diagnostic(`${answers} answers compared, ${hits} drafts had been prepared`);
  assert.ok(hits > 0, 'drafts are prepared');
  assert.ok(shared > 0, 'passes are shared');
});

const keyOf = (sampling: string, promptIds: readonly number[]): string => `${sampling} ${promptIds}`;

/** Gives how many drafts had been prepared. */
async function runCase(
  serving: Serving,
  value: LosslessCase,
  prompts: readonly number[][],
  plain: ReadonlyMap<string, number[]>,
): Promise<number> {
  let hits = 0;
  for (let i = 0; i < prompts.length; i += value.together) {
    const batch = prompts.slice(i, i + value.together);
    const results = await Promise.all(
      batch.map((promptIds) =>
        generate(serving, {
          promptIds,
          sampling: samplingOf(value),
          maxTokens,
          policy: policyOf(value),
          tail: { verification: verificationOf(value) },
          prediction: predictionOf(value.prediction, plain.get(keyOf(value.sampling, promptIds))!),
        }),
      ),
    );
    for (const [j, { ids, stats }] of results.entries()) {
      const prepared = stats.rounds.filter((round) => round.prepared === true).length;
      if (value.preDrafting === 'off') assert.equal(prepared, 0);
      hits += prepared;
      assert.deepEqual(ids, plain.get(keyOf(value.sampling, batch[j]!)), describeCase(value));
    }
  }
  return hits;
}
