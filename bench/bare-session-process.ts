/**
 * Entry of the process that decodes with the bare ONNX session: whole model, one shard, no sockets, no threads of our
 * own, no scheduler. What a gateway over one worker on loopback is measured against.
 */
import { createExecutor, type Executor, type ExecutorOptions } from '../shards/executor.ts';
import { KvCache } from '../shards/kv-cache.ts';
import { prefillChunkRows } from '../src/engine/session.ts';
import { answerCalls } from './process-calls.ts';

export interface BareRequest {
  readonly promptIds: readonly number[];
  readonly maxTokens: number;
  readonly eosIds: readonly number[];
}

export interface BareAnswer {
  readonly ids: readonly number[];
  /** From the first output token to the last. */
  readonly decodeMs: number;
}

export type BareCalls = {
  readonly load: { readonly input: ExecutorOptions; readonly output: null };
  readonly generate: { readonly input: BareRequest; readonly output: BareAnswer };
};

let loaded: { readonly executor: Executor; readonly options: ExecutorOptions } | null = null;

answerCalls<BareCalls>(
  {
    async load(options) {
      loaded = { executor: await createExecutor(options), options };
      return null;
    },
    async generate(request) {
      if (loaded === null) throw new Error('load comes before generate');
      return decode(loaded.executor, loaded.options, request);
    },
  },
  () => void loaded?.executor.dispose(),
);

async function decode(
  executor: Executor,
  { dims, range, minRows }: ExecutorOptions,
  { promptIds, maxTokens, eosIds }: BareRequest,
): Promise<BareAnswer> {
  const cache = new KvCache({
    layers: range.end - range.start,
    kvHeads: dims.kvHeads,
    headDim: dims.headDim,
  });
  // Room for all at once, and for the copies that short passes are padded with.
  cache.grow(promptIds.length + maxTokens + minRows);
  const pass = async (ids: readonly number[], wantsToken: boolean): Promise<number> => {
    const rows = Uint32Array.from(ids);
    const headFrom = wantsToken ? rows.length - 1 : rows.length;
    const [result] = await executor.run([{ ids: rows, hidden: null, cache, headFrom, want: 'argmax' }]);
    const { newkv, passRows, argmax } = result!;
    cache.append(newkv, rows.length, passRows);
    return wantsToken ? argmax![0]! : -1;
  };
  let at = 0;
  for (; promptIds.length - at > prefillChunkRows; at += prefillChunkRows) {
    await pass(promptIds.slice(at, at + prefillChunkRows), false);
  }
  const ids = [await pass(promptIds.slice(at), true)];
  const startedMs = performance.now();
  while (ids.length < maxTokens && !eosIds.includes(ids[ids.length - 1])) {
    ids.push(await pass(ids.slice(-1), true));
  }
  return { ids, decodeMs: performance.now() - startedMs };
}
