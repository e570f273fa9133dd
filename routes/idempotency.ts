/**
 * `Idempotency-Key`: the same key with the same body is answered once, whole or as a stream; a repetition gets the first
 * one's bytes, waiting for them if need be. Another body under a known key is a 409. Keys of one API key say nothing to
 * another.
 */
import { createHash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import fastifyPlugin from 'fastify-plugin';
import type { AnswerMemory, RememberedAnswer } from '../src/answer-memory.ts';
import { GatewayError } from '../src/errors.ts';

/** Longer answers are given, but not remembered. */
const answerBytesMax = 2 * 2 ** 20;
const keyPattern = /^[\x21-\x7e]{1,255}$/;

export interface IdempotencyOptions {
  readonly memory: AnswerMemory;
}

export const idempotency = fastifyPlugin<IdempotencyOptions>(
  async (app, { memory }) => {
    app.addHook('preHandler', async (request, reply) => {
      const key = request.headers['idempotency-key'];
      if (key === undefined || request.method !== 'POST') return;
      if (typeof key !== 'string' || !keyPattern.test(key)) {
        throw new GatewayError('invalid_request', 'Idempotency-Key must be 1 to 255 printable characters.', {
          param: 'idempotency-key',
        });
      }
      const name = JSON.stringify([request.owner, request.routeOptions.url, key]);
      const answer = await firstAnswer(memory, name, hashOf(request.body), reply);
      if (answer === null) return;
      reply.code(answer.status).type(answer.contentType).header('idempotent-replayed', 'true');
      return await reply.send(answer.body);
    });
  },
  { name: 'idempotency' },
);

/** The answer that was given before, or null: this request makes it, and its bytes are remembered as they leave. */
async function firstAnswer(
  memory: AnswerMemory,
  name: string,
  bodyHash: string,
  reply: FastifyReply,
): Promise<RememberedAnswer | null> {
  for (;;) {
    const claim = memory.claim(name, bodyHash);
    if (claim.type === 'conflict') {
      throw new GatewayError(
        'idempotency_conflict',
        'This Idempotency-Key was used with another body. Use a new key for a new request.',
        { param: 'idempotency-key' },
      );
    }
    if (claim.type === 'new') {
      rememberBytes(reply, claim.settle);
      return null;
    }
    const answer = await claim.answer;
    if (answer !== null) return answer;
    // The first attempt failed or its client left: this one is the first now.
    if (reply.raw.destroyed) return null;
  }
}

/** Calls back once: with all that was sent if it is a complete success, else with null. */
function rememberBytes(reply: FastifyReply, settle: (answer: RememberedAnswer | null) => void): void {
  const { raw } = reply;
  const chunks: Buffer[] = [];
  let bytes = 0;
  let ending = false;
  const keep = (chunk: unknown): void => {
    // What end() hands on to write() is kept already.
    if (ending || !(typeof chunk === 'string' || chunk instanceof Uint8Array)) return;
    const copy = Buffer.from(chunk as Uint8Array);
    bytes += copy.length;
    if (bytes <= answerBytesMax) chunks.push(copy);
    else chunks.length = 0;
  };
  const { write, end } = raw;
  raw.write = ((...args: Parameters<typeof write>) => {
    keep(args[0]);
    return write.apply(raw, args);
  }) as typeof write;
  raw.end = ((...args: Parameters<typeof end>) => {
    keep(args[0]);
    ending = true;
    return end.apply(raw, args);
  }) as typeof end;
  raw.once('close', () => {
    const contentType = String(reply.getHeader('content-type') ?? '');
    const body = Buffer.concat(chunks);
    // A stream that broke off has said 200 long before.
    const isWhole =
      !contentType.startsWith('text/event-stream') || body.subarray(-16).includes('data: [DONE]');
    const isGood = raw.writableEnded && raw.statusCode < 300 && bytes <= answerBytesMax && isWhole;
    settle(isGood ? { status: raw.statusCode, contentType, body } : null);
  });
}

function hashOf(body: FastifyRequest['body']): string {
  return createHash('sha256')
    .update(JSON.stringify(body) ?? '')
    .digest('hex');
}
