import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstPassMs, frameIntervalMs, stageShares } from '../../bench/shared-cores.ts';

/**
 * When frames leave the last stage: the first `window` are there at 0, each later one comes when one leaves; a stage runs
 * one at a time in order, and what is at work shares the cores evenly. Event by event.
 */
function departures(
  stagesMs: readonly number[],
  { frames, cores, window }: { frames: number; cores: number; window: number },
): number[] {
  const queues = stagesMs.map((_, stage) => (stage === 0 ? Math.min(frames, window) : 0));
  let waiting = Math.max(0, frames - window);
  const left: (number | null)[] = stagesMs.map(() => null);
  const gone: number[] = [];
  let now = 0;
  while (gone.length < frames) {
    for (const [stage, ms] of stagesMs.entries()) {
      if (left[stage] === null && queues[stage]! > 0) {
        queues[stage]! -= 1;
        left[stage] = ms;
      }
    }
    const busy = left.filter((ms) => ms !== null).length;
    const pace = Math.min(1, cores / busy);
    const step = Math.min(...left.filter((ms) => ms !== null)) / pace;
    now += step;
    for (const stage of stagesMs.keys()) {
      if (left[stage] === null) continue;
      left[stage]! -= step * pace;
      if (left[stage]! > 1e-9) continue;
      left[stage] = null;
      if (stage < stagesMs.length - 1) {
        queues[stage + 1]! += 1;
        continue;
      }
      gone.push(now);
      if (waiting > 0) queues[0]! += 1;
      waiting -= 1;
    }
  }
  return gone;
}

const rings = [
  [3, 3, 3, 3],
  [4, 3, 3, 2],
  [6, 2, 2, 2],
  [2, 3, 2, 5],
  [5, 5],
];
const free = { draftMs: 0, window: 1000, linksMs: 0 };

test('frameIntervalMs is the pace of a long run of frames, whatever the cores', () => {
  for (const stagesMs of rings) {
    for (const cores of [1, 2, 3, 4]) {
      const gone = departures(stagesMs, { frames: 300, cores, window: 16 });
      const pace = (gone[280]! - gone[160]!) / 120;
      const said = frameIntervalMs({ stagesMs, cores }, free);
      assert.ok(Math.abs(said / pace - 1) < 0.05, `${stagesMs} on ${cores}: ${said} against ${pace}`);
    }
  }
});

test('firstPassMs is when the first of several frames is through, on a ring of even stages', () => {
  for (const cores of [1, 2, 3, 4]) {
    for (const frames of [1, 2, 3, 8]) {
      const stagesMs = [3, 3, 3, 3];
      const [first] = departures(stagesMs, { frames, cores, window: frames });
      assert.ok(Math.abs(firstPassMs({ stagesMs, cores }, frames) - first!) < 1e-6, `${frames} on ${cores}`);
    }
  }
});

test('firstPassMs is near it where stages differ, and a plain pass where there is a core for each', () => {
  for (const stagesMs of rings) {
    const total = stagesMs.reduce((sum, ms) => sum + ms, 0);
    assert.equal(firstPassMs({ stagesMs, cores: stagesMs.length }, 8), total);
    assert.equal(firstPassMs({ stagesMs, cores: 2 }, 1), total);
    const [first] = departures(stagesMs, { frames: 8, cores: 2, window: 8 });
    const said = firstPassMs({ stagesMs, cores: 2 }, 8);
    assert.ok(Math.abs(said / first! - 1) < 0.3, `${stagesMs}: ${said} against ${first}`);
  }
});

test('frameIntervalMs waits for drafts, for cores that drafts take, and for the window', () => {
  const ring = { stagesMs: [3, 3, 3, 3], cores: 2 };
  assert.equal(frameIntervalMs(ring, free), 6);
  assert.equal(frameIntervalMs(ring, { ...free, draftMs: 4 }), 8);
  assert.equal(frameIntervalMs({ ...ring, cores: 8 }, { ...free, draftMs: 9 }), 9);
  assert.equal(frameIntervalMs(ring, { draftMs: 0, window: 4, linksMs: 60 }), 18);
});

test('stageShares looks at frames that had the ring to themselves', () => {
  const alone = { stagesMs: [2, 6], frames: 1, fromIdle: true };
  const others = [
    { stagesMs: [50, 1], frames: 2, fromIdle: true },
    { stagesMs: [50, 1], frames: 1, fromIdle: false },
  ];
  assert.deepEqual(stageShares([alone, ...others], 2), [0.25, 0.75]);
  assert.deepEqual(stageShares(others, 2), [0.5, 0.5]);
});
