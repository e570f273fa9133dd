/** Cores are shared evenly; a simulated case follows from its seed; costs come from a load report or not at all. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { runCase, type SimulationCase } from '../../bench/simulation-case.ts';
import { costsOfReport, fittedCosts, knownCosts } from '../../bench/simulation-costs.ts';
import { createVirtualCores } from '../../bench/virtual-cores.ts';
import { VirtualTime } from '../../bench/virtual-time.ts';
import { createLatencyModel } from '../../src/engine/latency-model.ts';

/** Times at which jobs, each [start, work], are done. */
async function endsOn(cores: number, jobs: readonly (readonly [number, number])[]) {
  const time = new VirtualTime();
  const machine = createVirtualCores(time, cores);
  const ends: number[] = [];
  for (const [index, [atMs, workMs]] of jobs.entries())
    time.after(atMs, () =>
      machine.run(workMs, () => {
        ends[index] = time.now();
      }),
    );
  await time.run();
  return { ends, workedMs: machine.workedMs };
}

test('jobs that are more than the cores share them evenly, and no job takes more than one', async () => {
  const jobs = [
    [0, 10],
    [0, 10],
    [0, 10],
  ] as const;
  assert.deepEqual(await endsOn(2, jobs), { ends: [15, 15, 15], workedMs: 30 });
  assert.deepEqual((await endsOn(4, jobs)).ends, [10, 10, 10]);
  assert.deepEqual((await endsOn(Number.POSITIVE_INFINITY, jobs)).ends, [10, 10, 10]);
  const later = [
    [0, 10],
    [4, 3],
  ] as const;
  // Alone until 4, halved until the short one is done at 10, then alone again.
  assert.deepEqual((await endsOn(1, later)).ends, [13, 10]);
});

const asked: SimulationCase = {
  ...{ setup: 'speculative', trace: 'load', seed: 3, policy: 'laps', exactLengths: false, plain: false },
  ...{ batching: true, sessionsMax: 8, cores: null, costs: knownCosts('vnni', 4, 15) },
  load: { users: 4, windowMs: 6000 },
};

test('a case follows from its seed; fewer cores and plain decoding give fewer tokens', async () => {
  const line = await runCase(asked);
  assert.deepEqual(await runCase(asked), line);
  assert.ok(line.finished > 0 && line.stagesBusy > 0 && line.stagesBusy < 1);
  const rateOf = async (part: Partial<SimulationCase>): Promise<number> =>
    (await runCase({ ...asked, ...part })).tokensPerSecond;
  assert.ok((await rateOf({ cores: 1 })) < 0.8 * line.tokensPerSecond);
  assert.ok((await rateOf({ plain: true })) < 0.8 * line.tokensPerSecond);
});

test('requests at a rate are all answered, on either trace', async () => {
  for (const trace of ['load', 'mixed'] as const) {
    const line = await runCase({ ...asked, trace, load: { perSecond: 2, requests: 12 } });
    assert.equal(line.finished, 12, trace);
  }
});

test('costs are those that a load report has fitted; a file without them is refused', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'costs-'));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, 'load.json');
  const costs = fittedCosts(createLatencyModel(), 15.6);
  const environment = { cpu: 'a processor', date: '2026-11-28T00:00:00Z' };
  const write = (reports: unknown) => writeFile(path, JSON.stringify({ claim: 'load', reports }));
  await write([
    { t1Ms: 0, costs: { ...costs, t1Ms: 0 }, environment },
    { t1Ms: 15, costs, environment },
  ]);
  const name = 'fitted on a processor, 2026-11-28';
  assert.deepEqual(await costsOfReport(path), { ...costs, nominalT1Ms: 15, name });
  await write([{ t1Ms: 15, environment }]);
  await assert.rejects(costsOfReport(path), /no fitted costs/);
});
