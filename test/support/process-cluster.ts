/**
 * A cluster of real worker processes with the default model, driven through a Serving in this process: what the
 * lossless tests on real weights run on.
 */
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../shards/clock.ts';
import { silentLog } from '../../shards/log.ts';
import type { Topology } from '../../shards/open-message.ts';
import { splitLayers } from '../../src/cluster/placement.ts';
import { spawnWorker } from '../../src/embedded-workers.ts';
import { openLocalDraft } from '../../src/local-draft.ts';
import { readGguf } from '../../src/models/gguf.ts';
import { modelDims } from '../../src/models/model-dims.ts';
import { resolveModel } from '../../src/models/pull.ts';
import { openStore } from '../../src/models/store.ts';
import { type Serving, startServing } from '../../src/serving.ts';
import type { BatchGraphs } from '../../src/shard-graphs.ts';
import { realHome } from './real-model.ts';

const clusterKey = 'a key for tests on loopback';
const cacheBytes = { small: String(256 * 1024), large: String(4 * 1024 * 1024) };

export interface ProcessClusterOptions {
  readonly model: string;
  readonly workers: number;
  readonly topology: Topology;
  /** How large the workers believe the L2 cache to be. */
  readonly cache: 'as it is' | 'small' | 'large';
  /** The preload that makes them believe it; null skips it. */
  readonly preload: string | null;
  /** Graphs that the workers load; left out: as they choose. */
  readonly batchGraphs?: BatchGraphs;
}

export async function startProcessCluster(t: TestContext, options: ProcessClusterOptions): Promise<Serving> {
  const home = realHome();
  const store = await openStore(home);
  const model = await resolveModel(options.model, { store });
  const ranges = splitLayers(modelDims(await readGguf(model.path)), options.workers);
  const environment: Record<string, string> =
    options.cache === 'as it is' || options.preload === null
      ? {}
      : { LD_PRELOAD: options.preload, FAKE_L2_BYTES: cacheBytes[options.cache] };
  const workers = await Promise.all(
    ranges.map((range) =>
      spawnWorker({
        ...{ model: options.model, home, range, quantisation: 'native', clusterKey, environment },
        ...{ kvBytesMax: 512 << 20, logLevel: 'warn', port: 0, onNote: () => {} },
        ...(options.batchGraphs === undefined ? {} : { batchGraphs: options.batchGraphs }),
      }),
    ),
  );
  const draftOf = (draft: string) =>
    openLocalDraft({
      ...{ draft, target: model, home, resolve: { store } },
      ...{ now: systemClock.now, onFailure: (error) => t.diagnostic(error.message) },
    });
  // The shipped head, and the target itself as the surest of language models.
  const drafters = (await Promise.all(['auto', options.model].map(draftOf))).filter(
    (draft) => draft !== null,
  );
  const serving = await startServing({
    model,
    origins: workers.map(({ origin }) => origin),
    ...{ clusterKey, topology: options.topology, drafters, sessionsMax: 8, queuedMax: 64, contextMax: null },
    ...{ allowVariant: false, clock: systemClock, log: silentLog, signal: new AbortController().signal },
  });
  t.after(async () => {
    await serving.close();
    await Promise.all(workers.map((worker) => worker.stop()));
  });
  return serving;
}

/** A library that makes sysconf tell another L2 size; null, with a printed line, where there is no compiler. */
export async function buildFakeCache(t: TestContext): Promise<string | null> {
  const source = fileURLToPath(new URL('../fixtures/fake-cache-size.c', import.meta.url));
  const folder = await mkdtemp(join(tmpdir(), 'foretoken-preload-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const library = join(folder, 'fake-cache-size.so');
  try {
    execFileSync('cc', ['-shared', '-fPIC', '-o', library, source, '-ldl'], { stdio: 'pipe' });
    return library;
  } catch (error) {
    console.log(
      `no C compiler here (${(error as Error).message.split('\n')[0]}): other cache sizes are not tried`,
    );
    return null;
  }
}
