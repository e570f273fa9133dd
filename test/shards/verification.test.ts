/**
 * Every rule end to end: a drafter draws from its own truncated law, verify() judges whole drafts, and the joint law of
 * what is committed is compared with the exact one (chi-square) over two small Markov models.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drawSparse, normalised, pointMass, type SparseProbs, truncated } from '../../shards/draft-probs.ts';
import { argmax, chooseToken, greedy, type Sampling, targetProbs } from '../../shards/sampler.ts';
import {
  type AdaptiveVerification,
  createVerifier,
  draftPairsWanted,
  type Verification,
  weighsLogits,
} from '../../shards/verification.ts';
import { type Leniency, verify } from '../../shards/verify.ts';
import { assertFollows } from '../support/chi-square.ts';

const vocab = 6;
const everyId = Uint32Array.from({ length: vocab }, (_, id) => id);
const sampled: Sampling = { ...greedy, temperature: 0.8 };
/** Neither gate ever closes. */
const allOpen = { lambda1: 1e6, lambda2: 1, lambda3: 0 };
const adaptive = (part: Partial<AdaptiveVerification>): AdaptiveVerification => ({
  mode: 'adaptive',
  tau: 0.3,
  ...allOpen,
  ...part,
});

/** Logits after a token: any fixed numbers will do; a drafter that is somewhat like the target. */
function targetLogits(last: number): Float32Array {
  return Float32Array.from(everyId, (id) => 2 * Math.sin(1 + 3 * last + 5 * id));
}

function draftLogits(last: number): Float32Array {
  return targetLogits(last).map((logit, id) => logit + Math.cos(last * id));
}

type DraftLaw = (last: number, sampling: Sampling) => SparseProbs;
const likeliest =
  (pairs: number): DraftLaw =>
  (last, sampling) =>
    truncated(targetProbs(draftLogits(last), sampling), pairs);
const certain: DraftLaw = (last) => pointMass(argmax(draftLogits(last)));

interface Run {
  readonly verification: Verification;
  readonly sampling: Sampling;
  readonly law: DraftLaw;
  readonly draftLength: number;
  /** Do the probabilities travel, or only ids? */
  readonly withPairs: boolean;
}

/** `length` committed tokens after token 0 at position 0. */
function generate(run: Run, length: number, seed: number): { tokens: number[]; leniency: Leniency } {
  const sampling = { ...run.sampling, seed: { low: seed, high: 77 } };
  const tokens = [0];
  const sum = { judged: 0, kept: 0, distortion: 0 };
  while (tokens.length <= length) {
    const first = tokens.length;
    const context = [tokens.at(-1)!];
    const pairs: SparseProbs[] = [];
    for (let i = 0; i < run.draftLength; i++) {
      pairs.push(run.law(context.at(-1)!, sampling));
      context.push(drawSparse(pairs.at(-1)!, sampling.seed, first + i));
    }
    const draft = Uint32Array.from(context.slice(1));
    const verifier = createVerifier(run.verification, sampling);
    const verdict = verify({
      draft,
      chooseAt: (row) =>
        verifier.choose({
          logits: targetLogits(context[row]!),
          position: first + row,
          drafted: draft[row] ?? null,
          pairs: run.withPairs ? (pairs[row] ?? null) : null,
        }),
      eosIds: [],
    });
    tokens.push(...verdict.ids);
    const leniency = verifier.leniency();
    sum.judged += leniency?.judged ?? 0;
    sum.kept += leniency?.kept ?? 0;
    sum.distortion += leniency?.distortion ?? 0;
  }
  return { tokens: tokens.slice(1, length + 1), leniency: sum };
}

/** Joint law of `length` tokens under a law per step. */
function jointLaw(length: number, stepLaw: (last: number) => Float64Array): number[] {
  let paths = [{ last: 0, prob: 1 }];
  for (let i = 0; i < length; i++) {
    paths = paths.flatMap(({ last, prob }) =>
      [...stepLaw(last)].map((step, id) => ({ last: id, prob: prob * step })),
    );
  }
  return paths.map(({ prob }) => prob);
}

const cellOf = (tokens: readonly number[]): number => tokens.reduce((cell, id) => cell * vocab + id, 0);

function countsOf(run: Run, length: number, draws: number): { counts: number[]; leniency: Leniency } {
  const counts = new Array<number>(vocab ** length).fill(0);
  const sum = { judged: 0, kept: 0, distortion: 0 };
  for (let seed = 0; seed < draws; seed++) {
    const { tokens, leniency } = generate(run, length, seed);
    counts[cellOf(tokens)]! += 1;
    sum.judged += leniency.judged;
    sum.kept += leniency.kept;
    sum.distortion += leniency.distortion;
  }
  return { counts, leniency: sum };
}

const filtered: Sampling = { ...sampled, topP: 0.85, minP: 0.02 };

for (const [name, run] of Object.entries({
  'rejection, all pairs': { law: likeliest(vocab), sampling: sampled, withPairs: true },
  'rejection, 2 pairs': { law: likeliest(2), sampling: sampled, withPairs: true },
  'rejection, 3 pairs, filters': { law: likeliest(3), sampling: filtered, withPairs: true },
  'rejection, point mass': { law: certain, sampling: sampled, withPairs: false },
})) {
  for (const draftLength of [1, 3]) {
    test(`${name}, drafts of ${draftLength}: the committed tokens follow the target`, () => {
      const verification = { mode: 'rejection', topK: vocab } as const;
      const { counts } = countsOf({ ...run, verification, draftLength }, 2, 15_000);
      assertFollows(
        counts,
        jointLaw(2, (last) => targetProbs(targetLogits(last), run.sampling)),
      );
    });
  }
}

test('the test would notice a drafter that draws from another law than the one that it sends', () => {
  const counts = new Array<number>(vocab).fill(0);
  const sent = likeliest(3)(0, sampled);
  for (let seed = 0; seed < 10_000; seed++) {
    const verifier = createVerifier(
      { mode: 'rejection', topK: 3 },
      { ...sampled, seed: { low: seed, high: 77 } },
    );
    const row = { logits: targetLogits(0), position: 1, drafted: sent.ids[0]!, pairs: sent };
    counts[verifier.choose(row)]! += 1;
  }
  const target = targetProbs(targetLogits(0), sampled);
  assert.throws(() => assertFollows(counts, [...target]), /chi-square/);
});

test('rejection accepts more than coupled sampling of unrelated noise would, and point masses least', () => {
  const acceptedBy = (law: DraftLaw, withPairs: boolean): number => {
    let accepted = 0;
    for (let seed = 0; seed < 4000; seed++) {
      const sampling = { ...sampled, seed: { low: seed, high: 5 } };
      const pairs = law(0, sampling);
      const drafted = drawSparse(pairs, sampling.seed, 1);
      const verifier = createVerifier({ mode: 'rejection', topK: 4 }, sampling);
      const row = { logits: targetLogits(0), position: 1, drafted, pairs: withPairs ? pairs : null };
      if (verifier.choose(row) === drafted) accepted += 1;
    }
    return accepted / 4000;
  };
  const target = targetProbs(targetLogits(0), sampled);
  const law = likeliest(4)(0, sampled);
  const common = law.ids.reduce((sum, id, i) => sum + Math.min(target[id]!, normalised(law)[i]!), 0);
  assert.ok(Math.abs(acceptedBy(likeliest(4), true) - common) < 0.03);
  assert.ok(Math.abs(acceptedBy(certain, false) - target[certain(0, sampled).ids[0]!]!) < 0.03);
});

test('rejection at temperature 0 is greedy decoding', () => {
  const run = { verification: { mode: 'rejection', topK: 3 }, law: likeliest(3), withPairs: true } as const;
  for (const draftLength of [0, 2]) {
    const { tokens } = generate({ ...run, sampling: greedy, draftLength }, 12, 1);
    const expected: number[] = [];
    while (expected.length < 12) expected.push(argmax(targetLogits(expected.at(-1) ?? 0)));
    assert.deepEqual(tokens, expected);
  }
});

for (const draftLength of [1, 4]) {
  test(`adaptive without key tokens, drafts of ${draftLength}: the first token follows the mixture`, () => {
    const tau = 0.3;
    const law = likeliest(3);
    const run: Run = {
      verification: adaptive({ tau }),
      sampling: sampled,
      law,
      draftLength,
      withPairs: true,
    };
    const { counts, leniency } = countsOf(run, 1, 15_000);
    const mixture = targetProbs(targetLogits(0), sampled).map((prob) => (1 - tau) * prob);
    const pairs = law(0, sampled);
    for (const [i, prob] of normalised(pairs).entries()) mixture[pairs.ids[i]!]! += tau * prob;
    assertFollows(counts, [...mixture]);
    assert.ok(leniency.kept > 0 && leniency.kept < leniency.judged && leniency.distortion > 0);
  });
}

test('adaptive reports a distortion that bounds the distance of its law to the target', () => {
  for (const limits of [{}, { lambda2: 0.2 }, { lambda3: 0.6 }, { lambda1: 0.9 }]) {
    const run: Run = {
      verification: adaptive({ tau: 0.6, ...limits }),
      sampling: sampled,
      law: likeliest(4),
      draftLength: 1,
      withPairs: true,
    };
    const draws = 8000;
    const { counts, leniency } = countsOf(run, 1, draws);
    const target = targetProbs(targetLogits(0), sampled);
    const distance = counts.reduce((sum, count, id) => sum + Math.abs(count / draws - target[id]!), 0) / 2;
    assert.ok(distance <= leniency.distortion / leniency.judged + 0.02, JSON.stringify({ limits, distance }));
  }
});

for (const sampling of [greedy, sampled]) {
  test(`adaptive at tau 0 is the coupled path bit for bit, temperature ${sampling.temperature}`, () => {
    const options = { sampling, law: likeliest(3), draftLength: 4, withPairs: true };
    for (let seed = 0; seed < 50; seed++) {
      const strict = generate({ ...options, verification: adaptive({ tau: 0 }) }, 20, seed);
      assert.deepEqual(strict, generate({ ...options, verification: { mode: 'coupled' } }, 20, seed));
      assert.equal(strict.leniency.judged, 0);
      const plain = [0];
      const seeded = { ...sampling, seed: { low: seed, high: 77 } };
      while (plain.length <= 20) {
        plain.push(chooseToken(targetLogits(plain.at(-1)!), seeded, plain.length));
      }
      assert.deepEqual(strict.tokens, plain.slice(1));
    }
  });
}

test('adaptive at temperature 0 keeps what lies within the gap, and nothing that is masked', () => {
  const logits = Float32Array.of(1, 0.9, -3, -Infinity);
  const choose = (drafted: number, tau: number, limits: object = {}) =>
    createVerifier(adaptive({ tau, ...limits }), greedy).choose({
      logits,
      position: 9,
      drafted,
      pairs: null,
    });
  // Probabilities .52, .47, .01, 0.
  assert.equal(choose(1, 0.2), 1);
  assert.equal(choose(1, 0.04), 0);
  assert.equal(choose(2, 0.2), 0);
  assert.equal(choose(2, 0.9), 2);
  assert.equal(choose(3, 0.9), 0);
  assert.equal(choose(1, 0.2, { lambda2: 0.01 }), 0);
  assert.equal(choose(1, 0.2, { lambda3: 0.5 }), 0);
  assert.equal(choose(0, 0.2), 0);
});

test('draftPairsWanted and weighsLogits ask for no more than a rule needs', () => {
  assert.equal(draftPairsWanted({ mode: 'coupled' }, sampled), null);
  assert.equal(draftPairsWanted({ mode: 'rejection', topK: 9 }, sampled), 9);
  assert.equal(draftPairsWanted({ mode: 'rejection', topK: 9 }, greedy), null);
  assert.equal(draftPairsWanted(adaptive({ tau: 0 }), sampled), null);
  assert.equal(draftPairsWanted(adaptive({}), sampled), 64);
  assert.equal(draftPairsWanted(adaptive({}), greedy), null);
  assert.equal(weighsLogits({ mode: 'rejection', topK: 9 }), false);
  assert.equal(weighsLogits(adaptive({})), true);
});
