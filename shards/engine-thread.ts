/**
 * The far side of engine-host.ts: a local engine in a thread of its own, answering calls in the order of their
 * arrival; only what is compiled for a session to come goes on beside them. Invariant: the thread ends by itself after `dispose`, with no pass in flight; ending it from outside during
 * a pass would abort the process.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { PassResult, ShardEngine } from './engine.ts';
import { type EngineCall, type EngineReply, readyId, toPlainError } from './engine-call.ts';
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
    reply({ id: call.id, value: await invoke(engine, call) });
  } catch (error) {
    reply({ id: call.id, error: toPlainError(error) });
  }
  if (call.method === 'dispose') port.close();
}

function invoke(engine: ShardEngine, call: EngineCall): Promise<unknown> {
  switch (call.method) {
    case 'open':
      return engine.open(...call.args);
    case 'prepareTail':
      return engine.prepareTail(...call.args);
    case 'openTail':
      return engine.openTail(...call.args);
    case 'forward':
      return engine.forward(...call.args);
    case 'close':
      return engine.close(...call.args);
    case 'load':
      return engine.load();
    case 'dispose':
      return engine.dispose();
  }
}

/** Hidden rows change hands instead of being copied. */
function reply(message: EngineReply): void {
  const hidden = 'value' in message ? (message.value as PassResult | null)?.hidden : null;
  port.postMessage(message, hidden ? [hidden.buffer as ArrayBuffer] : []);
}
