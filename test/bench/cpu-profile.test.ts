/** Self times of a made-up profile, cut to a window. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CpuProfile, runsFile, selfTimes } from '../../bench/cpu-profile.ts';

const frame = (functionName: string, url: string, lineNumber: number) => ({ functionName, url, lineNumber });

const profile: CpuProfile = {
  nodes: [
    { id: 1, callFrame: frame('(idle)', '', -1) },
    { id: 2, callFrame: frame('run', 'file:///a/shards/executor.ts', 69) },
    { id: 3, callFrame: frame('', 'node:internal/timers', 4) },
    { id: 4, callFrame: frame('run', 'file:///a/shards/executor.ts', 69) },
  ],
  startTime: 1_000_000,
  samples: [2, 1, 3, 4, 2],
  timeDeltas: [1000, 2000, 3000, 500, 1000],
};

test('selfTimes adds what ran within the window, by function, without idle time', () => {
  const all = { fromUs: 0, toUs: 2_000_000 };
  assert.deepEqual(selfTimes(profile, all), [
    { name: '(anonymous) node:internal/timers', owner: 'Node', ms: 3 },
    { name: 'run executor.ts:70', owner: 'Foretoken', ms: 2.5 },
  ]);
  const behindIdle = { fromUs: 1_006_200, toUs: 1_006_600 };
  assert.deepEqual(selfTimes(profile, behindIdle), [
    { name: 'run executor.ts:70', owner: 'Foretoken', ms: 0.5 },
  ]);
});

test('runsFile finds the file that a thread begins with', () => {
  assert.ok(runsFile(profile, 'shards/executor.ts'));
  assert.ok(!runsFile(profile, 'src/cli.ts'));
});
