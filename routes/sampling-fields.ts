/**
 * Request fields that say how tokens are chosen, and nothing of prompts: the same on every endpoint that generates.
 * Nullable means "as if it were not sent", as at OpenAI.
 */
import { type Static, type TSchema, Type } from 'typebox';
import type { CompletionRequest } from '../src/completion.ts';

/** Choices of one request. OpenAI takes 128; each is a session on every worker, and prompts are not shared there. */
export const choicesMax = 16;
/** The detokeniser holds back as much text as the longest stop string. */
const stopCharsMax = 512;
/** OpenAI's own bound. */
const stopsMax = 4;
/** The longest draft of the engine. */
const draftTokensMax = 64;
/** What a 32-bit counter holds; contexts end far below. */
export const tokensMax = 2 ** 31 - 1;

export const optional = <T extends TSchema>(schema: T, description: string) =>
  Type.Optional(Type.Union([schema, Type.Null()], { description }));

const Speculation = Type.Object(
  {
    drafter: optional(
      Type.Enum(['auto', 'none', 'ngram', 'lm', 'head']),
      'What guesses ahead. Default auto.',
    ),
    draft_length: optional(
      Type.Union([Type.Integer({ minimum: 0, maximum: draftTokensMax }), Type.Literal('auto')]),
      'Most tokens a draft may have; 0 is plain decoding. Default auto.',
    ),
  },
  { additionalProperties: false },
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
  n: optional(Type.Integer({ minimum: 1, maximum: choicesMax }), 'Choices. Default 1.'),
  speculation: optional(
    Speculation,
    'Extension: how to draft. Never changes the answer. Adds `metrics` to it.',
  ),
};

const Sampling = Type.Object(samplingFields);
type SamplingBody = Static<typeof Sampling>;

type SamplingRequest = Pick<
  CompletionRequest,
  'temperature' | 'topP' | 'topK' | 'minP' | 'seed' | 'stop' | 'choices' | 'speculation'
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
    },
  };
}

/** Any integer stands for its lower 64 bits. */
function readSeed(seed: number | string | null): bigint | null {
  return seed === null ? null : BigInt.asUintN(64, BigInt(seed));
}
