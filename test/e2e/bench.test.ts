/**
 * A smoke of `npm run bench` on a tiny model: every claim that needs no other program is measured over real worker
 * processes and slow links, kept as JSON, and made into one document. No figure of it means anything.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type E2eHome, makeHome } from '../support/e2e-home.ts';

const bench = fileURLToPath(new URL('../../bench/main.ts', import.meta.url));
const questions = ['How many legs have three cats?', 'What is 4 + 5?'];
const ring = ['--workers', '2', '--t1', '1'];

/** Ends with code 0, which says too that lossless modes said the same; gives what it printed. */
async function run(t: TestContext, home: E2eHome, args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, [bench, ...args], { env: { ...process.env, ...home.env } });
  t.after(() => child.kill());
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const [printed, complaints, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  assert.equal(code, 0, `${args[0]}: ${printed.slice(-2000)}\n${complaints}`);
  return printed;
}

test('bench measures, keeps and publishes every claim', async (t) => {
  const home = await makeHome(t);
  const model = await home.tiny();
  const data = join(home.folder, 'questions.jsonl');
  const answers = questions.map((question) => JSON.stringify({ question, answer: '#### 12' }));
  await writeFile(data, answers.join('\n'));
  const shared = ['--model', model, '--draft', model, '--data', data, '--limit', '1', '--max-tokens', '16'];
  const kept = (claim: string): string => join(home.folder, `${claim}.json`);
  for (const [claim, ...args] of [
    ['wan', ...ring],
    ['sweep', ...ring, '--lengths', '2'],
    ['adaptive', ...ring, '--taus', '0.4'],
    ['drafters'],
  ] as const) {
    await run(t, home, [claim, ...args, ...shared, '--json', kept(claim)]);
  }
  const claims = ['wan', 'sweep', 'adaptive', 'drafters'];
  // Another delay is kept beside the first.
  const other = ['--workers', '2', '--t1', '2', '--lengths', '2'];
  await run(t, home, ['sweep', ...other, ...shared, '--json', kept('sweep')]);
  const document = join(home.folder, 'benchmarks.md');
  await run(t, home, [
    'report',
    ...claims.flatMap((claim) => ['--json', kept(claim)]),
    '--write-docs',
    document,
  ]);

  const written = await readFile(document, 'utf8');
  for (const key of ['goals', 'wan-2-t1-1-ms', 'sweep-2', 'adaptive-2', 'drafters'])
    assert.match(written, new RegExp(`<!-- begin ${key} -->`));
  assert.match(written, /gsm8k, 1 ms: auto over the best fixed length/);
  assert.match(written, /gsm8k, 2 ms: auto over the best fixed length/);
  const plots = (await readdir(join(home.folder, 'plots'))).sort();
  for (const plot of ['acceptance-gsm8k', 'adaptive-2-1', 'draft-length-2-1', 'time-line-2-1'])
    assert.ok(plots.includes(`${plot}.svg`), `${plots}`);
});
