/**
 * The far side of engine-host.ts: a local engine in a thread of its own, answering calls in the order of their
 * arrival; only what is compiled for a session to come goes on beside them. Invariant: the thread ends by itself after `dispose`, with no pass in flight; ending it from outside during
 * a pass would abort the process.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { ShardEngine } from './engine.ts';
import {
  type EngineCall,
  type EngineReply,
  type PlainReport,
  readyId,
  toPlainError,
  toPlainReport,
} from './engine-call.ts';
import { createLocalEngine, type EngineOptions } from './local-engine.ts';

const port = parentPort!;
try {
  const engine = await createLocalEngine(workerData as EngineOptions);
  let previous = Promise.resolve();
  port.on('message', (call: EngineCall) => {
    if (call.method === 'prepareTail') void answer(engine, call);
    else previous = previous.then(() => answer(engine, call));
  });
  reply({ id: readyId, value: null });
} catch (error) {
  reply({ id: readyId, error: toPlainError(error) });
}

async function answer(engine: ShardEngine, call: EngineCall): Promise<void> {
  try {
    if (call.method === 'forward') replyForward(call.id, toPlainReport(await engine.forward(...call.args)));
    else reply({ id: call.id, value: await invoke(engine, call) });
  } catch (error) {
    reply({ id: call.id, error: toPlainError(error) });
  }
  if (call.method === 'dispose') port.close();
}

function invoke(engine: ShardEngine, call: Exclude<EngineCall, { method: 'forward' }>): Promise<unknown> {
  switch (call.method) {
    case 'open':
      return engine.open(...call.args);
    case 'prepareTail':
      return engine.prepareTail(...call.args);
    case 'openTail':
      return engine.openTail(...call.args);
    case 'close':
      return engine.close(...call.args);
    case 'load':
      return engine.load();
    case 'dispose':
      return engine.dispose();
  }
}

/** Hidden rows change hands instead of being copied. */
function replyForward(id: number, report: PlainReport): void {
  const moved = report.outcomes.flatMap((outcome) =>
    'result' in outcome && outcome.result.hidden !== null
      ? [outcome.result.hidden.buffer as ArrayBuffer]
      : [],
  );
  reply({ id, value: report }, moved);
}

function reply(message: EngineReply, moved: readonly ArrayBuffer[] = []): void {
  port.postMessage(message, moved);
}
