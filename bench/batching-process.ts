/**
 * Entry of the process in which `bench batching` runs passes: one thread, one form of graphs at a time, so that its
 * resident memory is that form's. Times are of the processor, not of the clock: a neighbour on the machine stretches
 * these less.
 */
import { createExecutor, type Executor, type ExecutorPass, type ShardGraph } from '../shards/executor.ts';
import { KvCache } from '../shards/kv-cache.ts';
import type { LayerRange, ModelDims } from '../shards/manifest.ts';
import { answerCalls } from './process-calls.ts';
import { median } from './statistics.ts';

export interface BatchingLoad {
  readonly graphs: readonly ShardGraph[];
  readonly dims: ModelDims;
  readonly range: LayerRange;
  readonly minRows: 1 | 2;
  /** Positions that every session holds already. */
  readonly past: number;
}

export interface PassShape {
  readonly sessions: number;
  /** Of each session. */
  readonly rows: number;
  readonly repeats: number;
}

export type BatchingCalls = {
  /** Resident bytes that the graphs have added, each with one pass behind it. */
  readonly load: { readonly input: BatchingLoad; readonly output: number };
  /** Median time of all sessions' rows, ms, by graph, interleaved; a graph of too few slots runs them one by one. */
  readonly measure: { readonly input: PassShape; readonly output: number[] };
};

let loaded: { readonly executors: readonly Executor[]; readonly caches: readonly KvCache[] } | null = null;

answerCalls<BatchingCalls>(
  {
    async load({ graphs, dims, range, minRows, past }) {
      const slots = Math.max(...graphs.map((graph) => graph.slots));
      const shape = { layers: range.end - range.start, kvHeads: dims.kvHeads, headDim: dims.headDim };
      const caches = Array.from({ length: slots }, () => filledCache(new KvCache(shape), past));
      const before = process.memoryUsage.rss();
      const executors: Executor[] = [];
      for (const graph of graphs) {
        const executor = await createExecutor({ ...graph, dims, range, threads: 1, minRows });
        executors.push(executor);
        await executor.run(passesOf(caches.slice(0, 1), 8));
      }
      loaded = { executors, caches };
      return process.memoryUsage.rss() - before;
    },
    async measure({ sessions, rows, repeats }) {
      const { executors, caches } = loaded!;
      const passes = passesOf(caches.slice(0, sessions), rows);
      const times = executors.map((): number[] => []);
      for (let repeat = 0; repeat < repeats; repeat++) {
        for (const [i, executor] of executors.entries()) {
          const started = process.cpuUsage();
          if (executor.slots >= sessions) await executor.run(passes);
          else for (const pass of passes) await executor.run([pass]);
          const { user, system } = process.cpuUsage(started);
          times[i].push((user + system) / 1000);
        }
      }
      return times.map(median);
    },
  },
  () => void Promise.all((loaded?.executors ?? []).map((executor) => executor.dispose())),
);

/** Time does not follow the values; they only have to be usual ones. */
function filledCache(cache: KvCache, past: number): KvCache {
  const { layers, kvHeads, headDim } = cache.shape;
  cache.grow(past);
  const rows = Float32Array.from({ length: 2 * layers * kvHeads * past * headDim }, (_, i) => Math.sin(i));
  cache.append(rows, past, past);
  return cache;
}

/** Verify frames of these caches' sessions. The range is a whole model: ids go in, every row gets a head. */
function passesOf(caches: readonly KvCache[], rows: number): ExecutorPass[] {
  return caches.map((cache, session) => ({
    ids: Uint32Array.from({ length: rows }, (_, row) => 100 + 17 * session + row),
    hidden: null,
    cache,
    headFrom: 0,
    want: 'argmax',
  }));
}
