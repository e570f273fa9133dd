/** Several sessions in one pass: each gets the bits and the verdicts that it gets alone, whatever befalls the others. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { ForwardPass, PassOutcome, ShardEngine, TailOptions } from '../../shards/engine.ts';
import { startEngineThread } from '../../shards/engine-host.ts';
import { createExecutor } from '../../shards/executor.ts';
import { isShareInvariant, runAlone } from '../../shards/invariance.ts';
import { createLocalEngine, type EngineOptions } from '../../shards/local-engine.ts';
import { quantisations } from '../../shards/manifest.ts';
import { greedy } from '../../shards/sampler.ts';
import { forwardAlone } from '../support/forward-alone.ts';
import { packRanges } from '../support/shard-chain.ts';
import { type TinyGgufOptions, tinyModel, writeTinyGguf } from '../support/tiny-gguf.ts';

let folder: string;
let whole: EngineOptions;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foretoken-shared-'));
  const { path } = await writeTinyGguf(join(folder, 'model.gguf'));
  const [pack] = await packRanges(path, folder, [], 'native');
  whole = { ...pack!, threads: 1, minRows: 2, kvBytesMax: 64e6 };
});
after(() => rm(folder, { recursive: true, force: true }));

const shapes: Record<string, TinyGgufOptions> = {
  usual: {},
  'one kv head': { heads: 4, kvHeads: 1 },
  'wide heads': { heads: 2, kvHeads: 2, headDim: 128 },
};
for (const [name, shape] of Object.entries(shapes)) {
  for (const quantisation of quantisations) {
    test(`rows of one to eight sessions in a pass keep their bits: ${name}, ${quantisation}`, async () => {
      const directory = join(folder, `${name}-${quantisation}`);
      const { path } = await writeTinyGguf(`${directory}.gguf`, shape);
      for (const pack of await packRanges(path, directory, [2, 4], quantisation)) {
        const common = { ...pack, threads: 1, minRows: 2 } as const;
        const one = await createExecutor(common);
        const alone = await runAlone(one, pack, pack.shared.slots);
        await one.dispose();
        const shared = await createExecutor({ ...common, ...pack.shared });
        assert.ok(await isShareInvariant(shared, pack, alone), `layers ${pack.range.start}`);
        await shared.dispose();
      }
    });
  }
}

const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
const promptOf = (session: number): number[] =>
  Array.from({ length: 3 + 5 * session }, (_, i) => (i * i * 7 + 31 * session + 5) % tinyModel.vocab);
const optionsOf = (session: number): TailOptions => ({
  sampling: session % 2 === 0 ? greedy : { ...greedy, temperature: 1.1, seed: { low: session, high: 6 } },
  promptLength: promptOf(session).length,
  eosIds: [],
  minTokens: 0,
  ignoreEos: true,
  ...(session === 3 && { penalties: { frequency: 0.7, presence: 0.4, repetition: 1.3 } }),
  ...(session === 5 && { logprobs: 2 }),
});

async function openAll(engine: ShardEngine): Promise<void> {
  for (const [session, name] of names.entries()) {
    await engine.open(name, null);
    await engine.openTail(name, optionsOf(session));
  }
}

/** One row a pass, one session after the other. */
async function decodePlainly(count: number): Promise<number[][]> {
  const engine = await createLocalEngine(whole);
  await openAll(engine);
  const answers: number[][] = [];
  for (const [session, name] of names.entries()) {
    const tokens = promptOf(session);
    for (let position = 0; tokens.length < promptOf(session).length + count; position++) {
      const headFrom = position + 1 < promptOf(session).length ? 1 : 0;
      const ids = Uint32Array.of(tokens[position]!);
      const { verdict } = await forwardAlone(engine, {
        session: name,
        position,
        ids,
        hidden: null,
        headFrom,
      });
      if (verdict !== null) tokens.push(...verdict.ids);
    }
    answers.push(tokens);
  }
  await engine.dispose();
  return answers;
}

/** The next pass of a session: its prompt in pieces of seven, then drafts of which some are wrong. */
function nextPass(
  session: number,
  { position, tokens, expected }: { position: number; tokens: number[]; expected: number[] },
  step: number,
): ForwardPass {
  const prompt = promptOf(session).length;
  if (position + 7 < prompt) {
    const ids = Uint32Array.from(tokens.slice(position, position + 7));
    return { session: names[session]!, position, ids, hidden: null, headFrom: 7 };
  }
  const guess = expected.slice(tokens.length, tokens.length + ((step + session) % 5));
  if (guess.length > 0 && (step + session) % 3 === 1) guess[guess.length - 1]! ^= 1;
  const ids = Uint32Array.from([...tokens.slice(position), ...guess]);
  return { session: names[session]!, position, ids, hidden: null, headFrom: tokens.length - 1 - position };
}

async function decodeTogether(engine: ShardEngine, plain: readonly number[][]): Promise<number[][]> {
  await openAll(engine);
  const states = plain.map((expected, session) => ({ position: 0, tokens: promptOf(session), expected }));
  for (let step = 0; ; step++) {
    const going = states
      .map((state, session) => ({ state, session }))
      .filter(({ state }) => state.tokens.length < state.expected.length)
      .slice(0, 1 + ((step * 3) % engine.slots));
    if (going.length === 0) break;
    const passes = going.map(({ state, session }) => nextPass(session, state, step));
    const { outcomes, sessions, rows } = await engine.forward(passes);
    assert.equal(sessions, passes.length);
    assert.equal(
      rows,
      passes.reduce((sum, { ids }) => sum + ids.length, 0),
    );
    for (const [i, { state }] of going.entries()) {
      const { verdict } = resultOf(outcomes[i]!);
      if (verdict === null) state.position += passes[i]!.ids.length;
      else {
        state.tokens.push(...verdict.ids);
        state.position = state.tokens.length - 1;
      }
    }
  }
  return states.map(({ tokens, expected }) => tokens.slice(0, expected.length));
}

function resultOf(outcome: PassOutcome): Extract<PassOutcome, { result: unknown }>['result'] {
  if ('error' in outcome) throw outcome.error;
  return outcome.result;
}

const codeOf = (outcome: PassOutcome): string => ('error' in outcome ? outcome.error.code : 'ran');

test('an engine of one graph, of two, and in a thread gives eight sessions together what each gets alone', async () => {
  const plain = await decodePlainly(20);
  const shared = whole.shared!;
  const forms: EngineOptions[] = [whole, { ...whole, ...shared, shared: null }];
  for (const form of forms) {
    const engine = await createLocalEngine(form);
    assert.equal(engine.slots, 8);
    assert.deepEqual(await decodeTogether(engine, plain), plain);
    const { passes, frames } = await engine.load();
    assert.ok(frames > 2 * passes, `${frames} frames in ${passes} passes`);
    await engine.dispose();
  }
  const thread = await startEngineThread(whole);
  assert.equal(thread.slots, 8);
  assert.deepEqual(await decodeTogether(thread, plain), plain);
  await thread.dispose();
});

test('what may not run is left out of the pass and told to its session alone', async () => {
  const bytesPerPosition = 2 * tinyModel.layers * tinyModel.kvHeads * tinyModel.headDim * 4;
  const engine = await startEngineThread({ ...whole, kvBytesMax: 64 * 8 * bytesPerPosition });
  await openAll(engine);
  const row = (session: string, position = 0): ForwardPass => ({
    ...{ session, position, ids: Uint32Array.of(7), hidden: null, headFrom: 0 },
  });
  const first = await engine.forward(names.map((name) => row(name)));
  assert.deepEqual(first.outcomes.map(codeOf), Array(8).fill('ran'));
  const long = { ...row('d'), ids: new Uint32Array(100).fill(7), headFrom: 100 };
  const stranger = { ...row('e', 1), ids: Uint32Array.of(tinyModel.vocab) };
  const passes = [row('a', 1), row('b', 5), row('nobody'), long, stranger, row('f', 1)];
  const { outcomes, rows, sessions } = await engine.forward(passes);
  const codes = ['ran', 'gap', 'unknown_session', 'kv_budget', 'bad_request', 'ran'];
  assert.deepEqual(outcomes.map(codeOf), codes);
  assert.deepEqual([rows, sessions], [2, 2]);
  assert.deepEqual(resultOf(outcomes[0]!).verdict, (await alone(row('a', 1))).verdict);
  assert.deepEqual(resultOf(outcomes[5]!).verdict, (await alone(row('f', 1))).verdict);
  // Those that were left out go on as if nothing had been.
  const { outcomes: later } = await engine.forward([row('b', 1), row('d', 1), row('e', 1)]);
  assert.deepEqual(later.map(codeOf), ['ran', 'ran', 'ran']);
  const none = await engine.forward([row('b', 9), row('nobody')]);
  assert.deepEqual([none.rows, none.sessions], [0, 0]);
  await engine.dispose();
});

/** The same row behind the same first row, with nobody else. */
async function alone(pass: ForwardPass): Promise<Awaited<ReturnType<typeof forwardAlone>>> {
  const engine = await createLocalEngine(whole);
  await engine.open(pass.session, null);
  await engine.openTail(pass.session, optionsOf(names.indexOf(pass.session)));
  await forwardAlone(engine, { ...pass, position: 0 });
  const result = await forwardAlone(engine, pass);
  await engine.dispose();
  return result;
}
