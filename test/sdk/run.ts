/**
 * `npm run test:sdk`: one real gateway with the default model, and one small program in each language that talks to it
 * through the client its users have. Invariant: every program compares with the same greedy answer, fetched here without
 * any client. A language whose tools are missing is skipped with a printed line; names as arguments run only those.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultModelName } from '../../src/models/catalog.ts';
import { type Cleanup, startGateway } from '../support/gateway-process.ts';
import { realHome, realModelPath } from '../support/real-model.ts';
import { firstMissing, programs, runProgram, suiteMsMax } from './programs.ts';

const model = defaultModelName;
/** The answer to one of them will do on any machine: greedy words differ from one kind of processor to another. */
const prompts = [
  'Where is São Paulo? Answer in one sentence.',
  'What is a café? Answer in one sentence.',
  'Write one sentence about a café in Zürich.',
  'Write a haiku about a café.',
];
/** Programs stop inside it, and count more than ten tokens. */
const answerCharsMin = 50;

interface Question {
  readonly prompt: string;
  /** What every program has to find again: it ends by itself soon, and has a letter of two bytes. */
  readonly answer: string;
}

async function chooseQuestion(baseUrl: string, key: string): Promise<Question> {
  for (const prompt of prompts) {
    const answer = await greedyAnswer(prompt, baseUrl, key);
    if (answer !== null && answer.length >= answerCharsMin && /[À-ÿ]/.test(answer)) return { prompt, answer };
  }
  throw new Error('no prompt has an answer here that would show anything');
}

/** null for one that is cut. */
async function greedyAnswer(prompt: string, baseUrl: string, key: string): Promise<string | null> {
  const response = await fetch(`${baseUrl}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
    body: JSON.stringify({
      model,
      messages: [{ role: 'user', content: prompt }],
      temperature: 0,
      max_tokens: 60,
    }),
  });
  const body = (await response.json()) as {
    choices?: [{ finish_reason: string; message: { content: string } }];
  };
  if (body.choices === undefined) throw new Error(JSON.stringify(body));
  const [{ finish_reason, message }] = body.choices;
  return finish_reason === 'stop' ? message.content : null;
}

async function main(wanted: readonly string[]): Promise<boolean> {
  const unknown = wanted.find((name) => !programs.some((program) => program.name === name));
  if (unknown !== undefined) throw new Error(`no program is called ${unknown}`);
  const chosen = programs.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
  if ((await realModelPath()) === null) {
    for (const { name } of chosen) console.log(`skip ${name}: the default model cannot be had here`);
    console.log(`0 passed, 0 failed, ${chosen.length} skipped`);
    return true;
  }

  const endings: (() => unknown)[] = [];
  const cleanup: Cleanup = { after: (ending) => void endings.push(ending as () => unknown) };
  const home = await mkdtemp(join(tmpdir(), 'foretoken-sdk-'));
  const deadlineMs = performance.now() + suiteMsMax;
  const count = { passed: 0, failed: 0, skipped: 0 };
  try {
    const key = `sk-${randomBytes(24).toString('base64url')}`;
    // The user's models and packs, but responses of its own.
    for (const folder of ['models', 'packs']) {
      await mkdir(join(realHome(), folder), { recursive: true });
      await symlink(join(realHome(), folder), join(home, folder));
    }
    const gateway = await startGateway(cleanup, [], {
      env: {
        FORETOKEN_HOME: home,
        FORETOKEN_API_KEYS: key,
        // Programs look for it in a header; none of them comes near.
        FORETOKEN_KEY_REQUESTS_PER_MIN: '10000',
      },
    });
    const { prompt, answer } = await chooseQuestion(gateway.baseUrl, key);
    console.log(`gateway ${gateway.baseUrl}, ${model}; greedy answer: ${JSON.stringify(answer)}`);
    const env = {
      OPENAI_BASE_URL: gateway.baseUrl,
      OPENAI_API_KEY: key,
      SDK_MODEL: model,
      SDK_PROMPT: prompt,
      SDK_ANSWER: answer,
    };
    for (const program of chosen) {
      const missing = await firstMissing(program);
      if (missing !== undefined) {
        console.log(`skip ${program.name}: this machine has no '${missing}'`);
        count.skipped += 1;
      } else if (await runProgram(program, env, deadlineMs)) count.passed += 1;
      else count.failed += 1;
    }
    await gateway.stop();
  } finally {
    for (const ending of endings) await ending();
    await rm(home, { recursive: true, force: true });
  }
  console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
  return count.failed === 0;
}

process.exitCode = (await main(process.argv.slice(2))) ? 0 : 1;
