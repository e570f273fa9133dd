/** A pass of one session, as most tests want it: its result, or its error thrown. */
import type { ForwardPass, PassResult, ShardEngine } from '../../shards/engine.ts';

export async function forwardAlone(engine: ShardEngine, pass: ForwardPass): Promise<PassResult> {
  const { outcomes } = await engine.forward([pass]);
  const outcome = outcomes[0]!;
  if ('error' in outcome) throw outcome.error;
  return outcome.result;
}
