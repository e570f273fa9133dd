/** Plots as text: well-formed, escaped, inside their frame. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { laneChart, lineChart, roundStep } from '../../bench/plot.ts';
import { plotLinks, plotName } from '../../bench/plot-files.ts';

const circle = /<circle cx="([\d.]+)" cy="([\d.]+)"/g;

test('lineChart draws every finite point within its frame, and the names of axes and series', () => {
  const svg = lineChart({
    title: 'a < b',
    x: { label: 't1', log: true },
    y: { label: 'speed-up' },
    series: [
      {
        name: 'head & index',
        points: [
          [1, 1.2],
          [50, 3.4],
          [15, Number.NaN],
        ],
      },
    ],
  });
  const points = [...svg.matchAll(circle)].map(([, x, y]) => [Number(x), Number(y)]);
  assert.equal(points.length, 2);
  assert.ok(points[0][0] < points[1][0] && points[0][1] > points[1][1]);
  for (const part of ['a &lt; b', 'head &amp; index', '>t1<', '>speed-up<'])
    assert.ok(svg.includes(part), part);
  assert.ok(!svg.includes('NaN'));
});

test('lineChart holds a single point and an empty series', () => {
  for (const log of [true, false]) {
    const x = { label: 'x', log };
    const chart = { title: 't', x, y: { label: 'y' } };
    assert.ok(!lineChart({ ...chart, series: [{ name: 'one', points: [[15, 2]] }] }).includes('NaN'));
    assert.ok(!lineChart({ ...chart, series: [{ name: 'none', points: [] }] }).includes('NaN'));
  }
});

test('laneChart keeps segments in order and leaves out text that does not fit', () => {
  const svg = laneChart({
    title: 't',
    x: { label: 'ms' },
    kinds: ['draft', 'ring'],
    lanes: [
      {
        name: 'plain',
        segments: [
          { from: 0, to: 100, kind: 1, text: '7' },
          { from: 100, to: 100.5, kind: 0, text: '123456' },
        ],
      },
    ],
  });
  assert.ok(svg.includes('>7<') && !svg.includes('>123456<'));
  assert.ok(svg.includes('>draft<') && svg.includes('>ring<') && svg.includes('>plain<'));
});

test('roundStep is the next 1, 2 or 5 times a power of ten', () => {
  assert.deepEqual([0.3, 1, 1.5, 4, 7, 60].map(roundStep), [0.5, 1, 2, 5, 10, 100]);
});

test('plotName is a file name and plotLinks refers to it', () => {
  const name = plotName('Speed up', 'spec-bench', 4, 0.5);
  assert.equal(name, 'speed-up-spec-bench-4-0.5');
  assert.equal(plotLinks([{ name, title: 'A', svg: '' }]), '![A](plots/speed-up-spec-bench-4-0.5.svg)');
});
