/**
 * Request fields that say how tokens are chosen, and nothing of prompts: the same on every endpoint that generates.
 * Nullable means "as if it were not sent", as at OpenAI.
 */
import { type Static, type TSchema, Type } from 'typebox';
import { adaptiveDefaults } from '../shards/adaptive.ts';
import { draftPairsMax } from '../shards/draft-probs.ts';
import { lambda1Max, logitBiasMax, repetitionMax, repetitionMin, tauMax } from '../shards/open-message.ts';
import type { CompletionRequest } from '../src/completion.ts';

/** Choices of one request, as at OpenAI. Each takes a place of its own in the queue, whose limit holds too. */
const choicesMax = 128;
/** The detokeniser holds back as much text as the longest stop string. */
const stopCharsMax = 512;
/** OpenAI's own bound. */
const stopsMax = 4;
/** The longest draft of the engine. */
const draftTokensMax = 64;
/** Draft probabilities per token unless the request says otherwise: beyond it acceptance hardly rises. */
const rejectionTopK = 64;
/** What a 32-bit counter holds; contexts end far below. */
export const tokensMax = 2 ** 31 - 1;

export const optional = <T extends TSchema>(schema: T, description: string) =>
  Type.Optional(Type.Union([schema, Type.Null()], { description }));

const Rejection = Type.Object(
  {
    top_k: optional(
      Type.Integer({ minimum: 1, maximum: draftPairsMax }),
      `Draft probabilities per token on the wire. Default ${rejectionTopK}.`,
    ),
  },
  {
    additionalProperties: false,
    description: "Speculative sampling: the model's law exactly, but another text than plain decoding's.",
  },
);

const { tau, lambda1, lambda2, lambda3 } = adaptiveDefaults;

const Adaptive = Type.Object(
  {
    tau: optional(
      Type.Number({ minimum: 0, maximum: tauMax }),
      `Slack of tokens that are not key. Default ${tau}; 0 is coupled.`,
    ),
    lambda1: optional(
      Type.Number({ minimum: 0, maximum: lambda1Max }),
      `Key: the target is so many times less sure than the draft. Default ${lambda1}.`,
    ),
    lambda2: optional(
      Type.Number({ minimum: 0, maximum: 1 }),
      `Key: another token is likelier by more than this. Default ${lambda2}.`,
    ),
    lambda3: optional(
      Type.Number({ minimum: 0, maximum: 1 }),
      `Key: target and draft have less mass than this in common. Default ${lambda3}.`,
    ),
  },
  { additionalProperties: false, description: 'Not lossless: near misses of the draft may stand.' },
);

const Verification = Type.Union([
  Type.Literal('coupled', { description: 'Byte for byte what plain decoding says. Default.' }),
  Type.Object(
    { rejection: Type.Optional(Rejection), adaptive: Type.Optional(Adaptive) },
    { additionalProperties: false, minProperties: 1, maxProperties: 1 },
  ),
]);

const Speculation = Type.Object(
  {
    drafter: optional(
      Type.Enum(['auto', 'none', 'ngram', 'lm', 'head', 'grammar']),
      'What guesses ahead. Default auto.',
    ),
    draft_length: optional(
      Type.Union([Type.Integer({ minimum: 0, maximum: draftTokensMax }), Type.Literal('auto')]),
      'Most tokens a draft may have; 0 is plain decoding. Default auto.',
    ),
    rounds: optional(
      Type.Enum(['auto', 'sync', 'async']),
      'One draft at a time, or frames behind one another. Default auto: async where links cost more than passes.',
    ),
    pre_drafting: optional(
      Type.Boolean(),
      'Write drafts for likely outcomes while a round is under way. Default: where the gateway has a core that no worker needs.',
    ),
    verification: optional(Verification, 'Which rule makes draft tokens final. Default coupled.'),
  },
  { additionalProperties: false, title: 'Speculation', description: 'How to draft and verify.' },
);

export const samplingFields = {
  temperature: optional(Type.Number({ minimum: 0, maximum: 2 }), 'Default 1; 0 is greedy.'),
  top_p: optional(Type.Number({ minimum: 0, maximum: 1 }), 'Default 1.'),
  top_k: optional(Type.Integer({ minimum: -1, maximum: tokensMax }), 'Default 0, which keeps all, as -1.'),
  min_p: optional(Type.Number({ minimum: 0, maximum: 1 }), 'Default 0.'),
  seed: optional(
    Type.Union([
      Type.Integer({ minimum: -(2 ** 63), maximum: 2 ** 64 }),
      Type.String({ pattern: '^-?[0-9]{1,20}$' }),
    ]),
    '64 bits; as a string of digits where a JSON number is not exact. Default: one is drawn.',
  ),
  stop: optional(
    Type.Union([
      Type.String({ maxLength: stopCharsMax }),
      Type.Array(Type.String({ maxLength: stopCharsMax }), { maxItems: stopsMax }),
    ]),
    'The answer ends before any of these.',
  ),
  frequency_penalty: optional(
    Type.Number({ minimum: -2, maximum: 2 }),
    'Taken from a logit for each time the answer has said the token. Default 0.',
  ),
  presence_penalty: optional(
    Type.Number({ minimum: -2, maximum: 2 }),
    'Taken from a logit once the answer has said the token. Default 0.',
  ),
  repetition_penalty: optional(
    Type.Number({ minimum: repetitionMin, maximum: repetitionMax }),
    'Extension: divides the logit of a token that prompt or answer has. Default 1.',
  ),
  logit_bias: optional(
    Type.Record(Type.String({ pattern: '^[0-9]{1,10}$' }), Type.Number({ minimum: -100, maximum: 100 }), {
      maxProperties: logitBiasMax,
      additionalProperties: false,
    }),
    `Token id → what is added to its logit; at most ${logitBiasMax}.`,
  ),
  min_tokens: optional(
    Type.Integer({ minimum: 0, maximum: tokensMax }),
    'Extension: the answer does not end by itself before so many tokens. Default 0.',
  ),
  ignore_eos: optional(Type.Boolean(), 'Extension: the answer goes on after an end token. Default false.'),
  n: optional(Type.Integer({ minimum: 1, maximum: choicesMax }), 'Choices. Default 1.'),
  speculation: optional(
    Speculation,
    'Extension: how to draft and verify; only `verification` can change the answer. Adds `metrics` to it.',
  ),
};

const Sampling = Type.Object(samplingFields);
type SamplingBody = Static<typeof Sampling>;

type SamplingRequest = Pick<
  CompletionRequest,
  | 'temperature'
  | 'topP'
  | 'topK'
  | 'minP'
  | 'seed'
  | 'stop'
  | 'choices'
  | 'speculation'
  | 'penalties'
  | 'logitBias'
  | 'minTokens'
  | 'ignoreEos'
  | 'verification'
>;

export function readSampling(body: SamplingBody): SamplingRequest {
  return {
    temperature: body.temperature ?? 1,
    topP: body.top_p ?? 1,
    topK: Math.max(0, body.top_k ?? 0),
    minP: body.min_p ?? 0,
    seed: readSeed(body.seed ?? null),
    stop: [body.stop ?? []].flat().filter((text) => text !== ''),
    choices: body.n ?? 1,
    speculation: {
      drafter: body.speculation?.drafter ?? 'auto',
      draftLength: body.speculation?.draft_length ?? 'auto',
      rounds: body.speculation?.rounds ?? 'auto',
      ...(body.speculation?.pre_drafting != null && { preDrafting: body.speculation.pre_drafting }),
    },
    ...readPenalties(body),
    ...readLogitBias(body.logit_bias ?? {}),
    ...(body.min_tokens != null && { minTokens: body.min_tokens }),
    ...(body.ignore_eos != null && { ignoreEos: body.ignore_eos }),
    ...readVerification(body.speculation?.verification ?? 'coupled'),
  };
}

function readPenalties(body: SamplingBody): Pick<SamplingRequest, 'penalties'> {
  const frequency = body.frequency_penalty ?? 0;
  const presence = body.presence_penalty ?? 0;
  const repetition = body.repetition_penalty ?? 1;
  const without = frequency === 0 && presence === 0 && repetition === 1;
  return without ? {} : { penalties: { frequency, presence, repetition } };
}

function readLogitBias(bias: Readonly<Record<string, number>>): Pick<SamplingRequest, 'logitBias'> {
  const entries = Object.entries(bias).map(([id, value]) => ({ id: Number(id), bias: value }));
  return entries.length === 0 ? {} : { logitBias: entries };
}

function readVerification(wanted: Static<typeof Verification>): Pick<SamplingRequest, 'verification'> {
  if (wanted === 'coupled') return {};
  const { rejection, adaptive = {} } = wanted;
  if (rejection !== undefined) {
    return { verification: { mode: 'rejection', topK: rejection.top_k ?? rejectionTopK } };
  }
  return {
    verification: {
      mode: 'adaptive',
      tau: adaptive.tau ?? tau,
      lambda1: adaptive.lambda1 ?? lambda1,
      lambda2: adaptive.lambda2 ?? lambda2,
      lambda3: adaptive.lambda3 ?? lambda3,
    },
  };
}

/** Any integer stands for its lower 64 bits. */
function readSeed(seed: number | string | null): bigint | null {
  return seed === null ? null : BigInt.asUintN(64, BigInt(seed));
}
