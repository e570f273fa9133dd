/** Log-probabilities of a chat's tokens in OpenAI's shape: request fields, bodies and the way between. */
import { type Static, Type } from 'typebox';
import { logprobsTopMax } from '../shards/logprobs.ts';
import { GatewayError } from '../src/errors.ts';
import type { RatedToken, TokenLogprob } from '../src/token-logprobs.ts';
import { optional } from './sampling-fields.ts';

export const chatLogprobFields = {
  logprobs: optional(
    Type.Boolean(),
    "Log-probabilities of the answer's tokens, of the model itself: before bias, penalties and temperature. Default false.",
  ),
  top_logprobs: optional(
    Type.Integer({ minimum: 0, maximum: logprobsTopMax }),
    'The likeliest tokens at each position; only with logprobs. Default 0.',
  ),
};

const tokenFields = {
  token: Type.String({ description: 'What is no text by itself has its bytes spelled \\xNN.' }),
  logprob: Type.Number(),
  bytes: Type.Union([Type.Array(Type.Integer()), Type.Null()]),
};

const TokenBody = Type.Object(
  { ...tokenFields, top_logprobs: Type.Array(Type.Object(tokenFields)) },
  { title: 'TokenLogprob', description: 'A token, how likely it was, and the likeliest in its place.' },
);

export const ChatLogprobs = Type.Union([
  Type.Object({ content: Type.Array(TokenBody), refusal: Type.Null() }),
  Type.Null(),
]);

export type ChatLogprobsBody = Static<typeof ChatLogprobs>;

interface LogprobRequest {
  readonly logprobs?: boolean | null;
  readonly top_logprobs?: number | null;
}

/** Throws invalid_request for alternatives without log-probabilities. */
export function readChatLogprobs({ logprobs, top_logprobs }: LogprobRequest): { readonly logprobs?: number } {
  if (logprobs === true) return { logprobs: top_logprobs ?? 0 };
  if (top_logprobs == null || top_logprobs === 0) return {};
  throw new GatewayError('invalid_request', "'top_logprobs' is only allowed with 'logprobs': true.", {
    param: 'top_logprobs',
  });
}

/** `rated`: of the tokens of an answer or a delta, or undefined where they were not asked for. An end token is no content. */
export function chatLogprobs(rated: readonly (RatedToken | null)[] | undefined): ChatLogprobsBody {
  if (rated === undefined) return null;
  const content = rated
    .filter((token) => token !== null)
    .map((token) => ({ ...tokenBody(token), top_logprobs: token.top.map(tokenBody) }));
  return { content, refusal: null };
}

function tokenBody({
  token,
  logprob,
  bytes,
}: TokenLogprob): Static<typeof TokenBody>['top_logprobs'][number] {
  return { token, logprob, bytes: bytes === null ? null : [...bytes] };
}
