/**
 * What a person sees while the gateway starts: one line a step, a bar for the download, and at the end the address
 * and a request to paste. Plain lines where there is no terminal.
 */
import { formatRange, type LayerRange } from '../shards/manifest.ts';
import { createPullReporter } from './models/progress.ts';
import type { PullProgress, ResolvedModel } from './models/pull.ts';
import type { WorkerNote } from './worker-note.ts';

export interface StartScreen {
  pulling(progress: PullProgress): void;
  /** A line of the pull: which source is tried, and what was wrong with the last. */
  line(text: string): void;
  model(model: ResolvedModel): void;
  worker(range: LayerRange, note: WorkerNote): void;
  /** `contextLength`: most tokens of a prompt and its answer together. `withKeys`: clients must show one. */
  ready(baseUrl: string, modelName: string, contextLength: number, withKeys: boolean): void;
  stopping(): void;
}

/** Between two lines of one worker's packing: a small model is done before the second. */
const packLineMs = 3_000;

export function createStartScreen(stream: NodeJS.WriteStream, now: () => number): StartScreen {
  const startedMs = now();
  const reporter = createPullReporter({ stream, now });
  const said = new Set<string>();
  /** Layers → when their packing was last told of. */
  const packedAtMs = new Map<string, number>();
  const say = (label: string, text: string): void => reporter.line(`${label.padEnd(9)}${text}`);

  /** Workers report in parallel and often; each step of each is told once. */
  function once(label: string, text: string): void {
    if (said.has(text)) return;
    said.add(text);
    say(label, text);
  }

  function packing(layers: string, done: number, total: number): void {
    const last = packedAtMs.get(layers);
    if (done === 0 || (last !== undefined && (now() - last < packLineMs || done === total))) return;
    packedAtMs.set(layers, now());
    say('shard', last === undefined ? `${layers}: packing` : `${layers}: packing, ${percent(done, total)} %`);
  }

  return {
    pulling: (progress) => reporter.onProgress(progress),
    line: (text) => say('model', text),
    model: ({ name, bytes, sha256 }) => {
      say(
        'model',
        `${name}, ${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB, sha256 ${sha256.slice(0, 12)}…`,
      );
    },
    worker(range, note) {
      const layers = `layers ${formatRange(range)}`;
      if (note.type === 'ready') once('shard', `${layers} at ${note.origin}`);
      else if (note.type === 'progress' && note.stage === 'pack') packing(layers, note.done, note.total);
      // What was proved at an earlier start passes in a blink and is not worth a line; so does what was packed.
      else if (note.type === 'progress' && note.stage === 'prove' && packedAtMs.has(layers)) {
        once('shard', `${layers}: proving that its arithmetic is exact`);
      }
    },
    ready(baseUrl, modelName, contextLength, withKeys) {
      const body = {
        model: modelName,
        stream: true,
        messages: [{ role: 'user', content: 'Why is the sky blue?' }],
      };
      const seconds = ((now() - startedMs) / 1000).toFixed(1);
      say('ready', `${baseUrl} after ${seconds} s; prompt and answer up to ${contextLength} tokens`);
      reporter.close();
      const authorization = withKeys ? '-H "authorization: Bearer $OPENAI_API_KEY" ' : '';
      const key = withKeys ? 'one of your keys' : 'none';
      stream.write(
        `\n  curl -N ${baseUrl}/chat/completions ${authorization}-H 'content-type: application/json' \\\n    -d '${JSON.stringify(body)}'\n\n  Any OpenAI client: OPENAI_BASE_URL=${baseUrl} OPENAI_API_KEY=${key}\n  Ctrl-C stops it.\n\n`,
      );
    },
    stopping() {
      reporter.close();
      stream.write('stopping\n');
    },
  };
}

const percent = (done: number, total: number): number => Math.floor((100 * done) / total);
