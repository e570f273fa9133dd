/**
 * The gateway process: listens first (so a taken port is known before a download), then pulls the model, starts or
 * finds its workers and opens for requests. Until then requests are answered 503 with a time to come back.
 */

import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { systemClock } from '../shards/clock.ts';
import { loadApiKeys } from './api-keys.ts';
import { type AppOptions, buildApp } from './app.ts';
import { splitLayers } from './cluster/placement.ts';
import type { EmbeddedWorkers } from './embedded-workers.ts';
import { startEmbeddedWorkers } from './embedded-workers.ts';
import { GatewayError } from './errors.ts';
import { createKeyRing, type KeyRing } from './key-ring.ts';
import { openLocalDraft } from './local-draft.ts';
import { createMetrics } from './metrics.ts';
import { readGguf } from './models/gguf.ts';
import { modelDims } from './models/model-dims.ts';
import { type ResolvedModel, resolveModel } from './models/pull.ts';
import { openStore } from './models/store.ts';
import { openDatabase } from './responses/database.ts';
import { type Serving, startServing } from './serving.ts';
import type { Config } from './settings.ts';
import type { StartScreen } from './start-screen.ts';
import { engineThreads } from './worker-node.ts';

/** How soon a drain sees that the last answer has ended. */
const drainPollMs = 50;

export interface Gateway {
  readonly baseUrl: string;
  /** Resolves when requests are served; rejects with what went wrong at the start. */
  readonly ready: Promise<void>;
  /** Lets answers under way end, in the time of the settings, and begins no more. Resolves when `close` has little to break off. */
  drain(): Promise<void>;
  /** Ends answers in flight, then workers. Idempotent. */
  close(): Promise<void>;
}

export interface GatewayOptions {
  readonly config: Config;
  readonly log: Logger;
  readonly screen: StartScreen;
}

export async function startGateway({ config, log, screen }: GatewayOptions): Promise<Gateway> {
  const stopping = new AbortController();
  let draining = false;
  const createdS = Math.floor(Date.now() / 1000);
  let model: ResolvedModel | null = null;
  let serving: Serving | null = null;
  let workers: EmbeddedWorkers | null = null;

  const metrics = createMetrics({
    modelName: modelName(config.model),
    load: () => serving?.scheduler.load() ?? { running: 0, waiting: 0 },
    latencyTerms: () => serving?.scheduler.latency.terms() ?? null,
  });
  const keys = await openKeyRing(config);
  const requireServing = (): Serving => {
    if (serving !== null) return serving;
    throw new GatewayError(
      'model_loading',
      'The model is still loading. Send the request again in a moment.',
    );
  };
  await mkdir(config.home, { recursive: true });
  const database = openDatabase(path.join(config.home, 'responses.sqlite'));
  const app: FastifyInstance = await buildApp({
    completions: { start: async (request) => requireServing().completions.start(request) },
    prompts: () => requireServing().prompts,
    store: { database, bytesMax: config.storeBytes },
    models: {
      list: () =>
        serving === null
          ? []
          : [
              {
                id: model!.name,
                created: createdS,
                contextLength: serving.contextLength,
                callForm: serving.prompts.callForm,
                fingerprint: serving.fingerprint,
              },
            ],
    },
    readiness: () => readinessOf(serving, draining || stopping.signal.aborted),
    metrics,
    config,
    keys,
    log,
  });
  const address = await app.listen({ host: config.host, port: config.port });
  const baseUrl = `${address}/v1`;

  async function load(): Promise<void> {
    const { signal } = stopping;
    const store = await openStore(config.home);
    const pullOptions = {
      store,
      signal,
      onProgress: screen.pulling,
      log: { info: screen.line, warn: screen.line },
    };
    model = await resolveModel(config.model, pullOptions);
    screen.model(model);
    const lm = await openLocalDraft({
      draft: config.draft,
      target: model,
      home: config.home,
      resolve: pullOptions,
      now: systemClock.now,
      onFailure: (err) => log.warn({ err }, 'the draft model failed; its drafts are left out'),
    });
    const clusterKey =
      config.clusterKey ?? (config.workers.length === 0 ? randomBytes(32).toString('hex') : null);
    const origins = config.workers.length > 0 ? config.workers : await startWorkers(model, clusterKey!);
    serving = await startServing({
      model,
      origins,
      clusterKey,
      topology: config.topology,
      drafters: lm === null ? [] : [lm],
      sessionsMax: config.sessionsMax,
      queuedMax: config.queueMax,
      scheduling: config.scheduling,
      sharedPrefixes: config.sharedPrefixes,
      contextMax: config.context,
      allowVariant: false,
      clock: systemClock,
      log,
      onRound: (_session, record) => metrics.recordRound(record),
      signal,
    });
  }

  async function startWorkers(resolved: ResolvedModel, clusterKey: string): Promise<readonly string[]> {
    const dims = modelDims(await readGguf(resolved.path));
    const ranges = splitLayers(dims, config.shards);
    workers = await startEmbeddedWorkers({
      model: resolved.entry === null ? resolved.path : resolved.name,
      home: config.home,
      ranges,
      quantisation: config.quantisation,
      clusterKey,
      kvBytesMax: config.kvBytes,
      batchSessions: config.batchSessions,
      batchGraphs: config.batchGraphs,
      threads: engineThreads(config.threads, ranges.length),
      // Their start is on the screen already; what they warn of belongs in the log.
      logLevel: config.logLevel === 'info' ? 'warn' : config.logLevel,
      clock: systemClock,
      log,
      onNote: (index, note) => screen.worker(ranges[index]!, note),
      signal: stopping.signal,
    });
    return workers.origins;
  }

  const ready = load().then(() => {
    for (const { origin, manifest } of serving!.members.route())
      screen.worker(manifest.range, { type: 'ready', origin });
    screen.ready(baseUrl, model!.name, serving!.contextLength, keys.required);
  });
  const isBusy = (): boolean => {
    const { running = 0, waiting = 0 } = serving?.scheduler.load() ?? {};
    return running + waiting + app.answering() > 0;
  };
  let closing: Promise<void> | null = null;
  return {
    baseUrl,
    ready,
    async drain() {
      draining = true;
      const deadlineMs = systemClock.now() + 1000 * config.drainS;
      while (isBusy() && systemClock.now() < deadlineMs && !stopping.signal.aborted) await wait(drainPollMs);
    },
    close() {
      closing ??= (async () => {
        stopping.abort(new GatewayError('draining', 'The gateway is shutting down.'));
        await serving?.close();
        await app.close();
        database.close();
        await ready.catch(() => {});
        // The start may have got as far as workers while we waited for it.
        await serving?.close();
        await workers?.stop();
      })();
      return closing;
    },
  };
}

/** What anybody may know; which worker and why is in the log. */
function readinessOf(serving: Serving | null, stopping: boolean): ReturnType<AppOptions['readiness']> {
  if (stopping) return { state: 'draining', detail: null };
  if (serving === null) return { state: 'loading', detail: 'the model is being loaded' };
  if (serving.members.problem() === null) return { state: 'ready', detail: null };
  const states = serving.members.states();
  const missing = states.filter(({ state }) => state !== 'ready').length;
  return { state: 'loading', detail: `${missing} of ${states.length} workers are out of reach` };
}

function modelName(nameOrPath: string): string {
  return nameOrPath
    .split(/[\\/]/)
    .pop()!
    .replace(/\.gguf$/i, '');
}

/** Throws ConfigError for keys that cannot be read. */
async function openKeyRing(config: Config): Promise<KeyRing> {
  const limits = {
    requestsPerMin: config.keyRequestsPerMin,
    tokensPerMin: config.keyTokensPerMin,
    parallel: config.keyParallel,
  };
  const keys = config.apiKeys === null ? [] : await loadApiKeys(config.apiKeys, limits);
  return createKeyRing(keys, limits, systemClock.now);
}
