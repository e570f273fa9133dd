/**
 * The far side of grammar-threads.ts: one instance of the library, the grammars that it has compiled, and where each
 * answer stands in its own. Calls are served in the order of their arrival.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { createGrammars, type GrammarMatcher } from './grammar.ts';
import type { GrammarCall, GrammarReply, GrammarThreadData, PathChange, Trace } from './grammar-call.ts';
import { MaskRows } from './mask-rows.ts';
import { decodeTokenBytes } from './token-bytes-file.ts';

interface Answer {
  readonly matcher: GrammarMatcher;
  /** Ids as the near side tells them; the matcher has taken the first `taken`. */
  readonly path: number[];
  taken: number;
}

/** For a matcher that no answer follows. */
const anyEosIds = [0];

const port = parentPort!;
const { tokenBytes, vocab, bytesMax } = workerData as GrammarThreadData;
const grammars = createGrammars(async () => decodeTokenBytes(tokenBytes), vocab);
const answers = new Map<number, Answer>();

let previous: Promise<void> = Promise.resolve();
port.on('message', (call: GrammarCall) => {
  previous = previous.then(() => serve(call));
});

async function serve(call: GrammarCall): Promise<void> {
  switch (call.type) {
    case 'compile':
      return tell(call.call, () => tryOut(call.ebnf));
    case 'open':
      return tell(call.call, async () => {
        const matcher = await grammars.open(call.ebnf, call.eosIds);
        answers.set(call.answer, { matcher, path: [], taken: 0 });
        return null;
      });
    case 'masks':
      return writeMasks(answers.get(call.answer)!, call.path, MaskRows.over(call.memory, vocab));
    case 'trace':
      return tell(call.call, async () => traceOf(answers.get(call.answer)!, call.path));
    case 'close':
      answers.get(call.answer)?.matcher.dispose();
      answers.delete(call.answer);
  }
}

/** Compiles a grammar and asks it for its first mask: one that is out of hand shows it there. */
async function tryOut(ebnf: string): Promise<null> {
  const matcher = await grammars.open(ebnf, anyEosIds);
  matcher.mask();
  matcher.dispose();
  return null;
}

async function tell(call: number, work: () => Promise<Trace | null>): Promise<void> {
  let reply: Omit<GrammarReply, 'outgrown'>;
  try {
    reply = { call, reason: null, trace: await work() };
  } catch (error) {
    reply = { call, reason: error instanceof Error ? error.message : String(error), trace: null };
  }
  port.postMessage({ ...reply, outgrown: grammars.bytes() > bytesMax } satisfies GrammarReply);
}

function writeMasks(answer: Answer, path: PathChange, rows: MaskRows): void {
  try {
    change(answer, path);
    for (let length = path.known; length <= answer.path.length && rows.wanted; length++) {
      take(answer, length);
      rows.write(length - path.known, answer.matcher.mask());
    }
  } catch (error) {
    rows.fail();
    throw error;
  }
}

function traceOf(answer: Answer, path: PathChange): Trace {
  change(answer, path);
  const { matcher, path: ids } = answer;
  const guesses = ids.slice(path.known);
  ids.length = path.known;
  take(answer, path.known);
  const forcedFirst = matcher.forcedText();
  let allowed = 0;
  while (allowed < guesses.length && matcher.accept(guesses[allowed]!)) allowed += 1;
  const refused = allowed < guesses.length ? 1 : 0;
  matcher.rollback(refused);
  const forced = matcher.forcedText();
  matcher.rollback(allowed);
  return { allowed, forcedFirst, forced };
}

/** Takes over a path; the matcher keeps what the two have in common. */
function change(answer: Answer, { from, ids }: PathChange): void {
  if (answer.taken > from) take(answer, from);
  answer.path.length = from;
  for (const id of ids) answer.path.push(id);
}

/** Brings the matcher to the first `length` ids of the path. */
function take(answer: Answer, length: number): void {
  if (answer.taken > length) answer.matcher.rollback(answer.taken - length);
  for (let at = answer.taken; at < length; at++) answer.matcher.accept(answer.path[at]!);
  answer.taken = length;
}
