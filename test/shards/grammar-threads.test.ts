/** Grammars in threads: the same masks as in one's own thread, bounded compiling, and answers that outlive their thread. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../shards/clock.ts';
import { createGrammars } from '../../shards/grammar.ts';
import { createGrammarThreads, type GrammarThreads } from '../../shards/grammar-threads.ts';
import type { MaskRows } from '../../shards/mask-rows.ts';
import { encodeTokenBytes } from '../../shards/token-bytes-file.ts';

const tokens = [...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)), new Uint8Array(0)];
const eos = 256;
const vocab = 264;
const code = (text: string): number[] => [...new TextEncoder().encode(text)];

function startThreads(t: TestContext, compileMsMax = 4000): GrammarThreads {
  const threads = createGrammarThreads({
    ...{ tokenBytes: async () => encodeTokenBytes(tokens), vocab, compileMsMax, clock: systemClock },
  });
  t.after(() => threads.close());
  return threads;
}

function readAll(rows: MaskRows, count: number): (number[] | null)[] {
  const masks = Array.from({ length: count }, (_, row) => rows.read(row));
  rows.stop();
  return masks.map((mask) => (mask === null ? null : [...mask]));
}

/** 400 counted strings of their own: minutes to compile. */
const exploding = `root ::= ${Array.from({ length: 400 }, (_, i) => `("${i}" | [^a] [a-z ]{0,90})`).join(' ')}`;

test('masks along a path are those of a matcher that took it id by id, whatever was guessed before', async (t) => {
  const ebnf = 'root ::= "{" [a-c]{2,3} ("x" | "y" root)? "}"';
  const answer = await startThreads(t).open(ebnf, [eos]);
  const grammars = createGrammars(async () => tokens, vocab);
  const expected = async (ids: readonly number[]): Promise<number[] | null> => {
    const matcher = await grammars.open(ebnf, [eos]);
    for (const id of ids) matcher.accept(id);
    const mask = matcher.mask();
    return mask === null ? null : [...mask];
  };
  const rounds: [known: string, guesses: string][] = [
    ['', '{abx}'],
    ['{ab', 'cy{'],
    ['{ab', '!!!'],
    ['{aby{', ''],
    ['{', 'ab}'],
    ['{ab}', '!'],
  ];
  for (const [known, guesses] of rounds) {
    const rows = await answer.masks(code(known), code(guesses));
    const masks = readAll(rows, guesses.length + 1);
    for (const [row, mask] of masks.entries()) {
      assert.deepEqual(
        mask,
        await expected(code(known + guesses.slice(0, row))),
        `${known} ${guesses} ${row}`,
      );
    }
  }
});

test('a trace tells how far guesses go, and the text that is forced before and behind them', async (t) => {
  const answer = await startThreads(t).open('root ::= "ab" [0-9]? "xyz"', [eos]);
  assert.deepEqual(await answer.trace([], code('ab7!')), { allowed: 3, forcedFirst: 'ab', forced: 'xyz' });
  assert.deepEqual(await answer.trace(code('ab'), code('q')), { allowed: 0, forcedFirst: '', forced: '' });
  assert.deepEqual(await answer.trace(code('abx'), []), { allowed: 0, forcedFirst: 'yz', forced: 'yz' });
});

test('a grammar that explodes is refused in bounded time, and answers of its thread go on elsewhere', async (t) => {
  const threads = startThreads(t, 700);
  const answers = await Promise.all(
    Array.from({ length: 6 }, (_, i) => threads.open(`root ::= "${i}" "ab" [0-9]*`, [eos])),
  );
  const start = performance.now();
  const refused = await threads.compile(exploding).catch((error) => error);
  assert.match(String(refused), /takes more than 700 ms to compile/);
  assert.equal((refused as { code: string }).code, 'bad_request');
  assert.ok(performance.now() - start < 10_000);
  for (const [i, answer] of answers.entries()) {
    assert.equal((await answer.trace(code(`${i}a`), [])).forced, 'b');
    answer.close();
  }
});

test('a grammar is compiled while answers of others get their masks', async (t) => {
  const threads = startThreads(t, 2000);
  const answer = await threads.open('root ::= "a" root | "b"', [eos]);
  let compiling = true;
  const refused = threads.compile(exploding).catch(() => (compiling = false));
  let longestMs = 0;
  for (let known = 0; compiling; known++) {
    const start = performance.now();
    readAll(await answer.masks(code('a'.repeat(known)), []), 1);
    longestMs = Math.max(longestMs, performance.now() - start);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await refused;
  assert.ok(longestMs < 1000, `${longestMs} ms`);
  t.diagnostic(`longest wait for a mask ${longestMs.toFixed(1)} ms`);
});

test('a text that is no grammar is refused with the reason, and costs nobody else anything', async (t) => {
  const threads = startThreads(t);
  const answer = await threads.open('root ::= "ok"', [eos]);
  await assert.rejects(threads.compile('root ::= missing'), {
    code: 'bad_request',
    message: /"missing" is not/,
  });
  await assert.rejects(threads.open('root ::= (', [eos]), { code: 'bad_request' });
  assert.equal((await answer.trace([], [])).forced, 'ok');
  await threads.compile('root ::= "fine"');
});

test('an answer whose grammar gets out of hand is given up after seconds, and takes no other answer with it', async (t) => {
  const threads = startThreads(t);
  const others = await Promise.all(
    Array.from({ length: 4 }, (_, i) => threads.open(`root ::= "${i}" "ab" [0-9]*`, [eos])),
  );
  const ambiguous = await threads.open('root ::= s\ns ::= s s s | s s | [a-z ]', [eos]);
  const rows = await ambiguous.masks(code('a'.repeat(1500)), []);
  const start = performance.now();
  assert.throws(() => rows.read(0), { code: 'deadline' });
  assert.ok(performance.now() - start < 10_000);
  ambiguous.close();
  for (const [i, answer] of others.entries()) {
    const next = await answer.masks(code(`${i}a`), []);
    assert.equal(next.read(0)![3], 1 << (98 - 96));
    next.stop();
  }
});
