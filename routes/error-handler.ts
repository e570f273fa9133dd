/**
 * The edge where whatever was thrown becomes an OpenAI error body, once: our errors, Fastify's own, the validator's and
 * those of the HTTP parser, which has neither request nor reply. Causes are logged, never sent.
 */
import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import fastifyPlugin from 'fastify-plugin';
import { GatewayError, openAiErrorBody, retryHeaders, toGatewayError } from '../src/errors.ts';
import type { Metrics } from '../src/metrics.ts';
import { bodyBytesMax } from './schemas.ts';
import { invalidRequest } from './validation.ts';

export interface ErrorHandlerOptions {
  readonly metrics: Metrics;
}

export const errorHandler = fastifyPlugin<ErrorHandlerOptions>(
  async (app, { metrics }) => {
    app.setSchemaErrorFormatter(invalidRequest);
    app.setErrorHandler((thrown, request, reply) => {
      const error = fromHttp(thrown);
      metrics.recordError(error.code);
      return sendError(error, request, reply);
    });
  },
  { name: 'error-handler' },
);

/** Answers with the error, and logs it: faults of ours as errors, with the cause. */
export function sendError(error: GatewayError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  logError(error, request);
  // Node keeps a connection open that became idle after close() had looked for idle ones.
  if (error.code === 'draining') reply.header('connection', 'close');
  return reply.code(error.traits.status).headers(retryHeaders(error)).send(openAiErrorBody(error));
}

/** A start or a stop that somebody met is nobody's fault and needs no stack. */
const expected: ReadonlySet<string> = new Set(['model_loading', 'draining']);

export function logError(error: GatewayError, { log }: FastifyRequest): void {
  if (error.traits.status >= 500 && !expected.has(error.code)) log.error({ err: error }, error.message);
  else log.info({ code: error.code, param: error.param }, error.message);
}

/** What Fastify throws before a handler runs, in our words. */
export function fromHttp(thrown: unknown): GatewayError {
  if (thrown instanceof GatewayError || !(thrown instanceof Error)) return toGatewayError(thrown);
  const { code, statusCode } = thrown as FastifyError;
  switch (code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new GatewayError('payload_too_large', `The body is larger than ${bodyBytesMax} bytes.`);
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new GatewayError('unsupported_media_type', 'Send JSON, with content-type: application/json.');
    case 'FST_ERR_BAD_URL':
      return new GatewayError('invalid_request', 'The URL is not well-formed.');
  }
  if (thrown instanceof SyntaxError && statusCode === 400) return malformedBody;
  const isRefusal = statusCode !== undefined && statusCode >= 400 && statusCode < 500;
  if (isRefusal) return new GatewayError('invalid_request', thrown.message, { cause: thrown });
  return toGatewayError(thrown);
}

const malformedBody = new GatewayError('invalid_request', 'The body is not valid JSON.');

/** A request that the HTTP parser gave up on: the answer is written by hand, then the connection is closed. */
export function answerUnparsable(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const answer = unparsable(error.code);
  const body = JSON.stringify(openAiErrorBody(answer));
  const head = [
    `HTTP/1.1 ${answer.traits.status} ${STATUS_CODES[answer.traits.status]}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    `x-request-id: req_${randomUUID()}`,
    'connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}

function unparsable(code: string | undefined): GatewayError {
  if (code === 'HPE_HEADER_OVERFLOW') {
    return new GatewayError('headers_too_large', 'The headers of the request are too large.');
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new GatewayError('request_timeout', 'The request did not arrive in time.');
  }
  return new GatewayError('invalid_request', 'This is not a well-formed HTTP/1.1 request.');
}
