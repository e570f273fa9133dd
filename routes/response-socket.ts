/**
 * `GET /v1/responses` with an upgrade: WebSocket mode. Browsers let any page open a WebSocket to this machine, so a
 * request that names an origin is only served if the owner of the gateway named it too.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { GatewayError } from '../src/errors.ts';
import type { KeyRing } from '../src/key-ring.ts';
import type { Metrics } from '../src/metrics.ts';
import type { Responses } from '../src/responses/assembly.ts';
import { guardSocket, type RawSocket } from './client-socket.ts';
import { logError } from './error-handler.ts';
import { type Readiness, requireReady } from './health.ts';
import { openConnection } from './response-connection.ts';
import type { ReadOrder } from './response-orders.ts';
import { ResponseRequest, type ResponseRequestBody } from './response-schemas.ts';
import { ErrorBody } from './schemas.ts';
import type { EventStreamLimits } from './sse.ts';
import { invalidRequest } from './validation.ts';
import { webSocketPath } from './websockets.ts';

/** OpenAI's own bound. */
export const connectionLifetimeMs = 60 * 60_000;
/** Each may hold responses in memory. */
const connectionsMax = 256;

export interface ResponseSocketOptions {
  readonly responses: Responses;
  readonly readiness: () => Readiness;
  readonly metrics: Metrics;
  readonly limits: EventStreamLimits;
  readonly keys: KeyRing;
  readonly corsOrigins: readonly string[];
  readonly lifetimeMs: number;
  readonly readOrder: ReadOrder;
}

export async function responseSocketRoutes(
  app: FastifyInstance,
  options: ResponseSocketOptions,
): Promise<void> {
  let connections = 0;

  function open(raw: RawSocket, request: FastifyRequest): void {
    const socket = guardSocket(raw, options.limits);
    const account = options.keys.accountOf(request.owner);
    const connection = openConnection({
      socket,
      maker: options.responses.maker,
      readOrder: (body) => {
        requireReady(options.readiness());
        return options.readOrder(validBody(body, request), request);
      },
      enter: () => {
        const leave = account?.enter();
        const end = app.beginAnswer();
        return () => {
          leave?.();
          end();
        };
      },
      onError: (error) => {
        options.metrics.recordError(error.code);
        logError(error, request);
      },
      lifetimeMs: options.lifetimeMs,
    });
    connections += 1;
    const forget = app.onDrain(() => connection.drain());
    raw.on('message', (data, isBinary) => connection.receive(isBinary ? '' : data.toString('utf8')));
    raw.on('close', () => {
      request.log.info({ route: webSocketPath }, 'socket closed');
      connections -= 1;
      forget();
      connection.leave();
    });
  }

  app.route({
    method: 'GET',
    url: webSocketPath,
    exposeHeadRoute: false,
    schema: {
      operationId: 'connectResponses',
      summary: 'Upgrade to a WebSocket: `response.create` in, the events of responses out',
      description:
        'Each message of the client is a `response.create` (the body of a POST without `stream` and `background`, and ' +
        '`stream_id` to name a lane); each of the server is an event of a response, or `error`.',
      tags: ['responses'],
      response: {
        101: { type: 'null', description: 'The connection speaks WebSocket from here on.' },
        default: ErrorBody,
      },
    },
    preHandler: async (request) => {
      if (request.ws) checkUpgrade(request);
    },
    handler: async () => {
      throw new GatewayError(
        'upgrade_required',
        'This is a WebSocket; POST responses, or upgrade the connection.',
      );
    },
    wsHandler: (socket: RawSocket, request: FastifyRequest) => open(socket, request),
  });

  function checkUpgrade({ headers }: FastifyRequest): void {
    const { origin } = headers;
    const { corsOrigins } = options;
    if (origin !== undefined && !corsOrigins.includes('*') && !corsOrigins.includes(origin)) {
      throw new GatewayError(
        'origin_not_allowed',
        'Pages of this origin may not connect. Name it in FORETOKEN_CORS_ORIGINS.',
      );
    }
    if (connections < connectionsMax) return;
    throw new GatewayError('queue_full', `${connectionsMax} connections are open already.`);
  }
}

/** As a body of POST would be validated; what only HTTP has is left out. Throws invalid_request. */
function validBody(body: Readonly<Record<string, unknown>>, request: FastifyRequest): ResponseRequestBody {
  const { stream: _always, ...fields } = body;
  if (fields['background'] === true) {
    throw new GatewayError('unsupported_parameter', 'A connection has no responses in the background.', {
      param: 'background',
    });
  }
  const validate = request.compileValidationSchema(ResponseRequest);
  if (validate(fields)) return fields as ResponseRequestBody;
  throw invalidRequest(validate.errors ?? []);
}
