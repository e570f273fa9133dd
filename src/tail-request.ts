/**
 * The part of a completion request that only the tail acts on: what is done to logits, what is told of them, and which
 * rule makes tokens final. Left out means that nothing of the kind is asked for.
 */
import type { LogitBias } from '../shards/engine.ts';
import type { Penalties } from '../shards/penalties.ts';
import type { Verification } from '../shards/verification.ts';
import type { TailExtras } from './engine/session.ts';
import { GatewayError } from './errors.ts';

export interface TailRequest {
  /** No end before so many tokens. Left out: 0. */
  readonly minTokens?: number;
  /** Go on after an end token. Left out: false. */
  readonly ignoreEos?: boolean;
  readonly penalties?: Penalties;
  readonly logitBias?: readonly LogitBias[];
  /** Alternatives per token, 0 to 20; left out: no log-probabilities. */
  readonly logprobs?: number;
  /** Log-probabilities of the prompt's tokens too, as many alternatives as logprobs says. Left out: false. */
  readonly promptLogprobs?: boolean;
  /** Left out: coupled. */
  readonly verification?: Verification;
  /** What the answer must look like. Left out: anything. */
  readonly grammar?: AnswerGrammar;
}

export interface AnswerGrammar {
  /** EBNF, at most grammarCharsMax characters. */
  readonly ebnf: string;
  /** The request field that it comes from. */
  readonly param: string;
}

/** What a session hands on to the tail as it is. */
export function tailExtras(request: TailRequest): TailExtras {
  const { penalties, logitBias, logprobs, verification, grammar } = request;
  return {
    ...(penalties !== undefined && { penalties }),
    ...(logitBias !== undefined && { logitBias }),
    ...(logprobs !== undefined && { logprobs }),
    ...(verification !== undefined && { verification }),
    ...(grammar !== undefined && { grammar: grammar.ebnf }),
  };
}

/** Throws invalid_request for what contradicts itself or the model. */
export function checkTailRequest(request: TailRequest, maxTokens: number, vocabSize: number): void {
  const { minTokens = 0, logitBias = [] } = request;
  if (minTokens > maxTokens) {
    throw new GatewayError(
      'invalid_request',
      `'min_tokens' is ${minTokens}, but the answer can have ${maxTokens} tokens at most.`,
      { param: 'min_tokens' },
    );
  }
  const stranger = logitBias.find(({ id }) => id >= vocabSize);
  if (stranger === undefined) return;
  throw new GatewayError(
    'invalid_request',
    `'logit_bias' names the token ${stranger.id}, but the vocabulary ends at ${vocabSize - 1}.`,
    { param: 'logit_bias' },
  );
}
