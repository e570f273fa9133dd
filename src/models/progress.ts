/**
 * Shows a pull to a person: a bar with bytes, rate and time left on a terminal, else a plain line every few seconds.
 * The stream and the clock are arguments; nothing is written after `close`.
 */
import { Presets, SingleBar } from 'cli-progress';
import type { PullProgress } from './pull.ts';

export interface PullReporter {
  /** For PullOptions.onProgress. */
  onProgress(progress: PullProgress): void;
  /** A line of text that does not tear the bar. */
  line(text: string): void;
  /** Ends the bar. */
  close(): void;
}

export interface ReporterOptions {
  readonly stream: NodeJS.WritableStream & { readonly isTTY?: boolean | undefined };
  /** Monotonic, ms. */
  readonly now: () => number;
}

/** Between two plain lines. */
const lineIntervalMs = 3_000;
/** Ten pictures a second are enough for an eye. */
const barIntervalMs = 100;
/** The rate is that of the last few seconds, so that a stall shows. */
const rateWindowMs = 5_000;

const phaseWords = { download: 'downloading', unpack: 'unpacking', check: 'checking' } as const;

export function createPullReporter({ stream, now }: ReporterOptions): PullReporter {
  const terminal = stream.isTTY === true;
  let bar: SingleBar | null = null;
  let current = '';
  let samples: { at: number; bytes: number }[] = [];
  let shownAt = Number.NEGATIVE_INFINITY;
  /** The last picture of this phase was the full one. */
  let complete = false;
  let closed = false;

  const endBar = () => {
    bar?.stop();
    bar = null;
  };

  return {
    onProgress(progress) {
      if (closed) return;
      const at = now();
      const key = `${progress.phase} ${progress.name}`;
      if (key !== current) {
        endBar();
        current = key;
        samples = [];
        shownAt = Number.NEGATIVE_INFINITY;
        complete = false;
      }
      samples.push({ at, bytes: progress.bytes });
      while (samples.length > 2 && samples[0]!.at < at - rateWindowMs) samples.shift();
      const done = progress.bytes === progress.bytesTotal;
      if (at - shownAt < (terminal ? barIntervalMs : lineIntervalMs) && !done) return;
      if (done && complete) return;
      complete = done;
      shownAt = at;
      const numbers = describe(progress, bytesPerSecond(samples));
      if (!terminal) {
        stream.write(`${phaseWords[progress.phase]} ${progress.name}: ${numbers}\n`);
        return;
      }
      const total = progress.bytesTotal ?? Math.max(1, progress.bytes);
      bar ??= openBar(stream, `${phaseWords[progress.phase]} ${progress.name}`, total);
      bar.setTotal(total);
      bar.update(progress.bytes, { numbers });
      bar.render();
      if (done) endBar();
    },
    line(text) {
      if (closed) return;
      endBar();
      stream.write(`${text}\n`);
    },
    close() {
      endBar();
      closed = true;
    },
  };
}

function openBar(stream: NodeJS.WritableStream, title: string, total: number): SingleBar {
  // No timer of its own (noTTYOutput and fps would start one): we render when there is something to show.
  const options = {
    stream,
    format: `${title} {bar} {numbers}`,
    hideCursor: null,
    clearOnComplete: false,
    barsize: 24,
  };
  const bar = new SingleBar(
    { ...options, linewrap: null, stopOnComplete: false, fps: 1000 / barIntervalMs },
    Presets.shades_classic,
  );
  bar.start(total, 0, { numbers: '' });
  return bar;
}

/** "12.3 of 98.4 MB (13 %), 4.1 MB/s, 21 s left" */
function describe({ bytes, bytesTotal }: PullProgress, rate: number | null): string {
  const parts = [bytesTotal === null ? `${megabytes(bytes)} MB` : ofTotal(bytes, bytesTotal)];
  if (rate !== null) parts.push(`${megabytes(rate)} MB/s`);
  if (rate !== null && rate > 0 && bytesTotal !== null && bytes < bytesTotal) {
    parts.push(`${duration((bytesTotal - bytes) / rate)} left`);
  }
  return parts.join(', ');
}

function ofTotal(bytes: number, total: number): string {
  const percent = total === 0 ? 100 : Math.floor((bytes / total) * 100);
  return `${megabytes(bytes)} of ${megabytes(total)} MB (${percent} %)`;
}

function bytesPerSecond(samples: readonly { at: number; bytes: number }[]): number | null {
  const first = samples[0]!;
  const last = samples.at(-1)!;
  return last.at > first.at ? ((last.bytes - first.bytes) / (last.at - first.at)) * 1000 : null;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}

function duration(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  return whole < 3600 ? `${Math.ceil(whole / 60)} min` : `${(whole / 3600).toFixed(1)} h`;
}
