/**
 * `npm run train-head -- --model FILE.gguf`: a draft head for any supported model, on this machine. The Python of
 * training/ does the arithmetic (torch, on a GPU if there is one); tokens and chat format come from the gateway's own
 * tokenizer, so that the head learns exactly what it will see. Every step keeps what it has made: the same command goes
 * on where it was stopped, and a finished head is found by the gateway at its next start.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadConfig } from '../src/config.ts';
import { ownHeadsDirectory } from '../src/draft-heads.ts';
import { readGguf } from '../src/models/gguf.ts';
import { modelDims } from '../src/models/model-dims.ts';
import { createChatTemplate } from '../src/text/chat-template.ts';
import { createTokenizer, type Tokenizer } from '../src/text/tokenizer.ts';

const usage = `Trains a draft head for a model and puts it where the gateway finds it.

  npm run train-head -- --model FILE.gguf [options]

  --model FILE     the target, a GGUF of the llama architecture with a chat template
  --home FOLDER    Foretoken's folder (default: FORETOKEN_HOME); the head goes to FOLDER/draft-heads
  --work FOLDER    text, labels and checkpoint (default: FOLDER/draft-heads/NAME.work); run again to go on
  --tokens N       answer tokens to synthesise (default 1000000: about two hours of two cores for 135 M parameters)
  --text FOLDER    an earlier --work whose text is trained on as well; may be given several times
  --from HEAD.json a finished head of this model that goes on learning (default: begin with layers of the target)
  --functions DIR  Python code whose documented functions are asked for, your own for instance; several times
                   (default: Python's standard library)
  --shares LIST    of the kinds of requests (default: function=0.18,code=0.22,math=0.3,general=0.3)
  --passes N       passes over the text, fractions too (default 2)
  --processes N    that train side by side and average their weights (default 1; on a CPU one for each core is faster)
  --batch N        sequences that are written side by side (default 224; more on a GPU)
  --seed N         of text and training (default 1)
  --python PATH    an interpreter with training/requirements.txt installed (default python3)
  --device NAME    auto, cpu or cuda (default auto)
`;

const trainingDirectory = fileURLToPath(new URL('../training', import.meta.url));

/** Stands for the user's text while the chat format is taken apart; no template contains it. */
const mark = 'FORETOKEN-USER-TEXT';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    home: {
      type: 'string',
      default: loadConfig().home,
    },
    work: { type: 'string' },
    text: { type: 'string', multiple: true, default: [] },
    from: { type: 'string' },
    tokens: { type: 'string', default: '1000000' },
    functions: { type: 'string', multiple: true, default: [] },
    shares: { type: 'string' },
    passes: { type: 'string', default: '2' },
    processes: { type: 'string', default: '1' },
    batch: { type: 'string', default: '224' },
    seed: { type: 'string', default: '1' },
    python: { type: 'string', default: 'python3' },
    device: { type: 'string', default: 'auto' },
    help: { type: 'boolean', default: false },
  },
});

/** Runs a step of training/ and shows what it prints. Throws an Error with what to do. */
async function step(script: string, args: readonly string[]): Promise<void> {
  console.log(`\n== ${script}`);
  await python([join(trainingDirectory, script), ...args], (line) => console.log(line));
}

async function python(args: readonly string[], onLine: (line: string) => void): Promise<void> {
  const child = spawn(values.python, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const lines = createInterface({ input: child.stdout });
  lines.on('line', onLine);
  const code = await ended.catch((error: Error) => {
    throw new Error(
      `${values.python} cannot be started (${error.message}); install Python 3 or give --python PATH`,
    );
  });
  if (code !== 0)
    throw new Error(`${basename(args[0]!)} failed (exit code ${code}); run the same command to go on`);
}

async function requirePackages(): Promise<void> {
  try {
    await python(['-c', 'import gguf, numpy, torch'], () => {});
  } catch (error) {
    const install = `${values.python} -m pip install -r ${join(trainingDirectory, 'requirements.txt')}`;
    throw new Error(`Python packages are missing; install them with: ${install}`, { cause: error });
  }
}

/** What stands before and after a user's text, up to where the answer begins. */
function chatFormat(render: (text: string) => string, tokenizer: Tokenizer): Record<string, number[]> {
  const [before, after, ...more] = render(mark).split(mark);
  if (after === undefined || more.length > 0)
    throw new Error('the chat template does not show a user text once');
  const suffix = tokenizer.encode(after);
  if (suffix[0] === undefined || !tokenizer.isSpecial(suffix[0])) {
    throw new Error(
      `the chat template ends a user text with ${JSON.stringify(after)}: a special token is needed there`,
    );
  }
  const ids = Array.from({ length: tokenizer.vocabSize }, (_, id) => id);
  return {
    prefix: tokenizer.encode(before!),
    suffix,
    eos: [...tokenizer.eosIds],
    special: ids.filter((id) => tokenizer.isSpecial(id)),
  };
}

async function writeInputs(work: string, modelPath: string, seedCount: number): Promise<void> {
  const file = await readGguf(modelPath);
  modelDims(file); // Refuses what the gateway could not run either.
  const tokenizer = createTokenizer(file.metadata);
  const template = createChatTemplate(file.metadata, tokenizer);
  const chat = chatFormat((text) => template.render([{ role: 'user', content: text }]), tokenizer);
  const seeds: string[] = [];
  const shares = values.shares === undefined ? [] : ['--shares', values.shares];
  const functions = values.functions.flatMap((folder) => ['--functions', folder]);
  const script = join(trainingDirectory, 'prompts.py');
  const prompts = [script, String(seedCount), values.seed, ...shares, ...functions];
  await python(prompts, (line) => {
    const { kind, text, complete } = JSON.parse(line) as { kind: string; text: string; complete: boolean };
    seeds.push(JSON.stringify({ kind, complete, ids: text === '' ? [] : tokenizer.encodeText(text) }));
  });
  await mkdir(work, { recursive: true });
  await writeFile(join(work, 'chat.json'), JSON.stringify(chat));
  await writeFile(join(work, 'seeds.jsonl'), `${seeds.join('\n')}\n`);
}

async function fileSum(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  return hash.digest('hex');
}

async function main(): Promise<void> {
  if (values.help || values.model === undefined) {
    console.log(usage);
    if (!values.help) process.exitCode = 1;
    return;
  }
  const { model, text, from, tokens, passes, seed, device, processes } = values;
  const name = basename(model).replace(/\.gguf$/i, '');
  const heads = ownHeadsDirectory(values.home);
  const work = values.work ?? join(heads, `${name}.work`);
  await requirePackages();
  // An answer has 150 tokens on average and every fifth turn is dropped. Two waves at least: the last is held out.
  const batch = Math.max(1, Math.min(Number(values.batch), Math.ceil(Number(tokens) / 200)));
  // Seeds may repeat, their continuations do not.
  await writeInputs(work, model, Math.max(batch, Math.ceil(Number(tokens) / 100)));
  const common = ['--model', model, '--work', work];
  const onDevice = [...common, '--device', device];
  await step('synthesise.py', [...onDevice, '--tokens', tokens, '--batch', String(batch), '--seed', seed]);
  for (const folder of [work, ...text])
    await step('label.py', ['--model', model, '--work', folder, '--device', device]);
  const more = text.flatMap((folder) => ['--text', folder]);
  const start = from === undefined ? [] : ['--from', from];
  const effort = ['--passes', passes, '--processes', processes, '--seed', seed];
  await step('train.py', [...onDevice, ...more, ...start, ...effort]);
  const out = join(heads, name);
  await step('export.py', [...common, '--name', name, '--sha256', await fileSum(model), '--out', out]);
  await step('calibrate.py', [...onDevice, '--head', `${out}.json`]);
  await step('evaluate.py', [...onDevice, '--head', `${out}.json`]);
  console.log(`\nThe gateway will use ${out}.json for ${model} (FORETOKEN_DRAFT=auto).`);
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
