/**
 * The HTTP edge, assembled from parts that it is given; the only file of src/ that imports routes/. It does not listen.
 * Closing it ends answers in the making with an error that says so.
 */
import type { DatabaseSync } from 'node:sqlite';
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify';
import { access } from '../routes/access.ts';
import { accessLog } from '../routes/access-log.ts';
import { chatRoutes } from '../routes/chat-completions.ts';
import { completionRoutes } from '../routes/completions.ts';
import { conversationRoutes } from '../routes/conversations.ts';
import { crossOrigin } from '../routes/cross-origin.ts';
import { answerUnparsable, errorHandler, fromHttp, sendError } from '../routes/error-handler.ts';
import { healthRoutes, type Readiness } from '../routes/health.ts';
import { hostGuard } from '../routes/host-guard.ts';
import { idempotency } from '../routes/idempotency.ts';
import { inFlight } from '../routes/in-flight.ts';
import { parseJsonBodies } from '../routes/json-body.ts';
import { type ModelDirectory, modelRoutes } from '../routes/models.ts';
import { notFound } from '../routes/not-found.ts';
import { openapi } from '../routes/openapi.ts';
import { referenceRoutes } from '../routes/reference.ts';
import { requestId, requestIdOf } from '../routes/request-id.ts';
import { measuredAnswers } from '../routes/response-answers.ts';
import { createOrderReader } from '../routes/response-orders.ts';
import { connectionLifetimeMs, responseSocketRoutes } from '../routes/response-socket.ts';
import { responseRoutes } from '../routes/responses.ts';
import { bodyBytesMax } from '../routes/schemas.ts';
import { type EventStreamLimits, heartbeatIntervalMs, stalledReaderMsMax } from '../routes/sse.ts';
import { storedChatRoutes } from '../routes/stored-chats.ts';
import { storedResponseRoutes } from '../routes/stored-responses.ts';
import { tokenRoutes } from '../routes/tokens.ts';
import { versionRoutes } from '../routes/version.ts';
import { shouldUpgrade, webSockets } from '../routes/websockets.ts';
import { createAnswerMemory } from './answer-memory.ts';
import type { CompletionService } from './completion.ts';
import type { KeyRing } from './key-ring.ts';
import { meteredCompletions } from './metered-completions.ts';
import type { Metrics } from './metrics.ts';
import type { PromptEncoder } from './prompt-encoder.ts';
import { assembleResponses } from './responses/assembly.ts';
import { chatsMax, createChatStore } from './responses/chat-store.ts';
import { isAlive, newId } from './responses/surroundings.ts';
import type { Config } from './settings.ts';
import { version } from './version.ts';

/** Time to receive a whole request: 4 MiB at 70 kB/s. */
const requestTimeoutMs = 60_000;
/** Longest id of a model in a URL; percent signs make three characters of one. */
const paramCharsMax = 1024;

export interface AppOptions {
  readonly completions: CompletionService;
  /** Text to ids and back. Throws GatewayError model_loading. */
  readonly prompts: () => PromptEncoder;
  /** Where responses and conversations are kept; closed by whoever opened it. */
  readonly store: { readonly database: DatabaseSync; readonly bytesMax: number };
  readonly models: ModelDirectory;
  readonly readiness: () => Readiness;
  readonly metrics: Metrics;
  readonly config: Pick<Config, 'allowPublic' | 'adminKey' | 'corsOrigins'>;
  readonly keys: KeyRing;
  readonly log: FastifyBaseLogger;
  /** Heartbeat and stall limits of streams; tests shorten them. */
  readonly limits?: EventStreamLimits;
  readonly connectionLifetimeMs?: number;
  /** Milliseconds since 1970, with fractions. */
  readonly now?: () => number;
}

/** A ready instance: `listen` or `inject` come next. */
export async function buildApp(options: AppOptions): Promise<FastifyInstance> {
  const { config, keys, metrics, models, prompts, readiness } = options;
  const now = options.now ?? (() => performance.timeOrigin + performance.now());
  const completions = meteredCompletions(options.completions, keys);
  const app: FastifyInstance = Fastify({
    loggerInstance: options.log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: bodyBytesMax,
    requestTimeout: requestTimeoutMs,
    genReqId: requestIdOf,
    routerOptions: { maxParamLength: paramCharsMax, ignoreDuplicateSlashes: true },
    // A wrong type is told, not coerced; a field that is not listed stays for unserved-parameters.ts to judge.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false } },
    clientErrorHandler: answerUnparsable,
    http: { shouldUpgradeCallback: shouldUpgrade },
    frameworkErrors: (error, request, reply) => {
      // No hook runs for a URL that the router cannot read.
      reply.headers({ 'x-request-id': request.id, 'openai-processing-ms': '0' });
      sendError(fromHttp(error), request, reply);
    },
  });
  // Response schemas are types and documents; what was built by those types needs no second serialiser.
  app.setSerializerCompiler(() => (body) => JSON.stringify(body));
  parseJsonBodies(app);

  await app.register(webSockets);
  await app.register(requestId);
  await app.register(accessLog, { metrics });
  await app.register(errorHandler, { metrics });
  await app.register(hostGuard, { anyHost: keys.required || config.allowPublic });
  if (config.corsOrigins.length > 0) await app.register(crossOrigin, { origins: config.corsOrigins });
  await app.register(notFound);
  await app.register(access, { keys, adminKey: config.adminKey });
  await app.register(inFlight);
  await app.register(idempotency, { memory: createAnswerMemory(now) });
  await app.register(openapi);

  const limits = options.limits ?? { heartbeatIntervalMs, stalledReaderMsMax };
  const responses = assembleResponses({
    ...options.store,
    startAnswer: measuredAnswers(completions, { metrics, now }),
    countTokens: (messages) => prompts().encodeChat(messages).length,
    newId,
    now,
    pid: process.pid,
    isAlive,
    onStoreFailure: (err) => options.log.error({ err }, 'a response was given, but could not be stored'),
  });
  app.addHook('preClose', () => responses.background.close());
  const readOrder = createOrderReader({ models, newId });
  await app.register(responseSocketRoutes, {
    ...{ responses, readiness, metrics, limits, keys, readOrder },
    corsOrigins: config.corsOrigins,
    lifetimeMs: options.connectionLifetimeMs ?? connectionLifetimeMs,
  });
  const chats = createChatStore(options.store.database, {
    countMax: chatsMax,
    bytesMax: options.store.bytesMax,
  });
  await app.register(chatRoutes, { completions, chats, models, readiness, metrics, limits, now });
  await app.register(storedChatRoutes, { chats });
  await app.register(responseRoutes, { responses, readOrder, readiness, metrics, limits, newId, now });
  await app.register(storedResponseRoutes, { responses, metrics, limits });
  await app.register(conversationRoutes, { responses, newId, now });
  await app.register(completionRoutes, { completions, prompts, models, readiness, metrics, limits, now });
  await app.register(tokenRoutes, { prompts, models, readiness });
  await app.register(modelRoutes, { models });
  await app.register(versionRoutes, { version });
  await app.register(referenceRoutes);
  await app.register(healthRoutes, { readiness, metrics });
  await app.ready();
  return app;
}
