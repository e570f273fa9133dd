/** The reporter on a terminal and on a plain stream, with a clock of our own. */
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { describe, it } from 'node:test';
import { createPullReporter } from '../../../src/models/progress.ts';
import type { PullProgress } from '../../../src/models/pull.ts';

function open(isTTY: boolean) {
  // What cli-progress asks of a terminal.
  const stream = Object.assign(new PassThrough(), {
    isTTY,
    columns: 120,
    cursorTo() {},
    clearLine() {},
    moveCursor() {},
  });
  let at = 0;
  const reporter = createPullReporter({ stream, now: () => at });
  const progress = (ms: number, bytes: number, more: Partial<PullProgress> = {}) => {
    at = ms;
    reporter.onProgress({ name: 'm', phase: 'download', bytes, bytesTotal: 100e6, ...more });
  };
  const text = () => (stream.read() as Buffer | null)?.toString('utf8') ?? '';
  return { reporter, progress, text };
}

describe('createPullReporter', () => {
  it('writes a plain line every few seconds with bytes, rate and time left', () => {
    const { progress, text } = open(false);
    for (let ms = 0; ms <= 6_000; ms += 100) progress(ms, ms * 1e4);
    assert.deepEqual(text().split('\n'), [
      'downloading m: 0.0 of 100.0 MB (0 %)',
      'downloading m: 30.0 of 100.0 MB (30 %), 10.0 MB/s, 7 s left',
      'downloading m: 60.0 of 100.0 MB (60 %), 10.0 MB/s, 4 s left',
      '',
    ]);
  });

  it('says the end once, and begins anew with the next phase', () => {
    const { progress, text } = open(false);
    progress(0, 100e6);
    progress(100, 100e6);
    progress(200, 5e6, { phase: 'unpack' });
    assert.deepEqual(text().split('\n'), [
      'downloading m: 100.0 of 100.0 MB (100 %)',
      'unpacking m: 5.0 of 100.0 MB (5 %)',
      '',
    ]);
  });

  it('does without a total', () => {
    const { progress, text } = open(false);
    progress(0, 0, { bytesTotal: null });
    progress(4_000, 8e6, { bytesTotal: null });
    assert.match(text(), /8\.0 MB, 2\.0 MB\/s\n$/);
  });

  it('draws a bar on a terminal, and lines do not tear it', () => {
    const { reporter, progress, text } = open(true);
    progress(0, 0);
    progress(1_000, 50e6);
    reporter.line('a line');
    progress(2_000, 100e6);
    reporter.close();
    progress(3_000, 0);
    const shown = text();
    assert.match(shown, /downloading m .*50\.0 of 100\.0 MB \(50 %\), 50\.0 MB\/s, 1 s left/);
    assert.match(shown, /\na line\n/);
    assert.match(shown, /100\.0 of 100\.0 MB \(100 %\)/);
  });
});
