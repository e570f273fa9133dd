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
  ready(baseUrl: string, modelName: string): void;
  stopping(): void;
}

const stageWords = { pack: 'packing', prove: 'proving the arithmetic of', load: 'loading' } as const;

export function createStartScreen(stream: NodeJS.WriteStream, now: () => number): StartScreen {
  const startedMs = now();
  const reporter = createPullReporter({ stream, now });
  const said = new Set<string>();
  const say = (label: string, text: string): void => reporter.line(`${label.padEnd(9)}${text}`);

  /** Workers report in parallel and often; each step of each is told once. */
  function once(label: string, text: string): void {
    if (said.has(text)) return;
    said.add(text);
    say(label, text);
  }

  return {
    pulling: (progress) => reporter.onProgress(progress),
    line: (text) => say('model', text),
    model: ({ name, bytes, sha256 }) => {
      say('model', `${name}, ${Math.round(bytes / 1e6)} MB, sha256 ${sha256.slice(0, 12)}…`);
    },
    worker(range, note) {
      if (note.type === 'ready') once('shard', `layers ${formatRange(range)} at ${note.origin}`);
      // What is packed and proved already passes in a blink and is not worth a line.
      else if (note.type === 'progress' && note.stage === 'pack' && note.done > 0) {
        once('shard', `${stageWords[note.stage]} layers ${formatRange(range)}`);
      }
    },
    ready(baseUrl, modelName) {
      const body = {
        model: modelName,
        stream: true,
        messages: [{ role: 'user', content: 'Why is the sky blue?' }],
      };
      say('ready', `${baseUrl}  (${((now() - startedMs) / 1000).toFixed(1)} s)`);
      reporter.close();
      stream.write(
        `\n  curl -N ${baseUrl}/chat/completions -H 'content-type: application/json' \\\n    -d '${JSON.stringify(body)}'\n\n  Any OpenAI client: OPENAI_BASE_URL=${baseUrl} OPENAI_API_KEY=none\n\n`,
      );
    },
    stopping() {
      reporter.close();
      stream.write('stopping\n');
    },
  };
}
