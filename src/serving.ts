/**
 * Everything between a model's file and an answer, without HTTP: tokeniser, template, members, ring, drafters and
 * scheduler, wired once. The gateway serves it over the API; the bench and the lossless tests use it directly.
 */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import type { Clock } from '../shards/clock.ts';
import { createGrammarThreads } from '../shards/grammar-threads.ts';
import type { Log } from '../shards/log.ts';
import type { ModelDims } from '../shards/manifest.ts';
import type { Topology } from '../shards/open-message.ts';
import { encodeTokenBytes } from '../shards/token-bytes-file.ts';
import { createMembers, type Members } from './cluster/members.ts';
import type { CompletionService } from './completion.ts';
import { createCompletionService } from './completion-service.ts';
import { createDraftPlanner, type DraftPlanner } from './drafting/chooser.ts';
import type { Drafter } from './drafting/drafter.ts';
import { withForcedDrafts } from './drafting/forced-drafts.ts';
import { createNoneDrafter } from './drafting/none-drafter.ts';
import { createSuffixDrafter } from './drafting/suffix-drafter.ts';
import { createPipeline } from './engine/pipeline.ts';
import type { SchedulingPolicy } from './engine/policy.ts';
import { createScheduler, type Scheduler, type SchedulerOptions } from './engine/scheduler.ts';
import { warmUp } from './engine/warm-up.ts';
import { compileMsMax, createGrammarCheck, withGrammarCheck } from './grammar/grammar-check.ts';
import { readGguf } from './models/gguf.ts';
import { modelDims } from './models/model-dims.ts';
import { createPromptEncoder, type PromptEncoder } from './prompt-encoder.ts';
import { hasSpareCore } from './spare-core.ts';
import { createChatTemplate } from './text/chat-template.ts';
import { encodeBehind } from './text/continuation.ts';
import { createTokenizer, type Tokenizer } from './text/tokenizer.ts';

export interface ServedModel {
  readonly name: string;
  readonly path: string;
  readonly sha256: string;
}

export interface ServingOptions {
  readonly model: ServedModel;
  /** Workers in any order; their manifests order them. */
  readonly origins: readonly string[];
  readonly clusterKey: string | null;
  readonly topology: Topology;
  /** Start local draft models and draft heads beside the suffix index. */
  readonly drafters: readonly ((target: Tokenizer) => Promise<Drafter>)[];
  readonly sessionsMax: number;
  readonly queuedMax: number;
  /** Who goes first; left out: laps. */
  readonly scheduling?: SchedulingPolicy;
  /** Requests of one API key may start from the caches of another's; left out: they may not. */
  readonly sharedPrefixes?: boolean;
  /** Upper bound for prompt and answer together; null: what the model was trained for. */
  readonly contextMax: number | null;
  readonly allowVariant: boolean;
  readonly clock: Clock;
  readonly log: Log;
  readonly onRound?: SchedulerOptions['onRound'];
  readonly signal: AbortSignal;
}

export interface Serving {
  readonly completions: CompletionService;
  readonly scheduler: Scheduler;
  readonly planner: DraftPlanner;
  readonly members: Members;
  readonly tokenizer: Tokenizer;
  readonly prompts: PromptEncoder;
  readonly dims: ModelDims;
  readonly contextLength: number;
  /** Changes when a bit of a logit may: model file, quantisation, runtime, kernels. */
  readonly fingerprint: string;
  close(): Promise<void>;
}

/** Resolves when the ring is complete. Throws RouteError, ModelFileError, TextError and the signal's reason. */
export async function startServing(options: ServingOptions): Promise<Serving> {
  const { clock, log, signal } = options;
  const members = createMembers({ ...options, modelSha256: options.model.sha256 });
  try {
    const file = await readGguf(options.model.path);
    const dims = modelDims(file);
    const tokenizer = createTokenizer(file.metadata);
    const template = createChatTemplate(file.metadata, tokenizer);
    const onFailure = (drafter: string, err: unknown): void =>
      log.warn({ drafter, err }, 'a drafter failed; its draft is left out');
    const grammars = createGrammarThreads({
      tokenBytes: async () =>
        encodeTokenBytes(Array.from({ length: tokenizer.vocabSize }, (_, id) => tokenizer.tokenBytes(id))),
      vocab: dims.vocab,
      ...{ compileMsMax, clock },
    });
    const planner = withForcedDrafts({
      planner: createDraftPlanner({
        none: createNoneDrafter(),
        ngram: createSuffixDrafter({ now: clock.now }),
        models: await Promise.all(options.drafters.map((start) => start(tokenizer))),
        onFailure,
      }),
      grammars,
      encodeBehind: (before, text) => encodeBehind(tokenizer, before, text),
      clock,
      onFailure: (error) => onFailure('grammar', error),
    });
    const ring = createPipeline({
      members,
      topology: options.topology,
      clusterKey: options.clusterKey,
      clock,
    });
    const scheduler = createScheduler({
      ring,
      drafter: planner,
      limits: { runningMax: options.sessionsMax, queuedMax: options.queuedMax },
      policy: options.scheduling ?? 'laps',
      now: clock.now,
      newSessionId: randomUUID,
      kvPositions: members.kvPositions,
      preDrafting: hasSpareCore(options.origins),
      sharedPrefixes: options.sharedPrefixes ?? false,
      ...(options.onRound === undefined ? {} : { onRound: options.onRound }),
    });
    await members.waitReady(signal);
    await warmUp(ring, randomUUID()).catch((err) =>
      log.warn({ err }, 'the ring did not answer its first token'),
    );
    const contextLength = Math.min(dims.contextLength, options.contextMax ?? dims.contextLength);
    const { identity } = members.route()[0]!.manifest;
    const fingerprint = createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 12);
    const randomSeed = (): bigint => randomBytes(8).readBigUInt64LE();
    const prompts = createPromptEncoder({ tokenizer, template, contextLength });
    return {
      completions: withGrammarCheck(
        createCompletionService({
          scheduler,
          tokenizer,
          prompts,
          kvPositions: members.kvPositions,
          randomSeed,
        }),
        createGrammarCheck(grammars),
      ),
      scheduler,
      planner,
      members,
      tokenizer,
      prompts,
      dims,
      contextLength,
      fingerprint,
      async close() {
        await scheduler.close();
        await grammars.close();
        await members.close();
      },
    };
  } catch (error) {
    await members.close();
    throw error;
  }
}
