/**
 * One connection in WebSocket mode: requests of a lane one after the other, lanes side by side, the events of each as
 * they come. The latest responses live here too, which is what `store: false` goes on from; they end with the socket.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { GatewayError, toGatewayError } from '../src/errors.ts';
import { createLanes } from '../src/responses/lanes.ts';
import { createRecentResponses } from '../src/responses/recent-responses.ts';
import type { ResponseMaker, ResponseOrder } from '../src/responses/response-maker.ts';
import { warmUpEvents } from '../src/responses/warm-up.ts';
import { type ClientSocket, closeCodes } from './client-socket.ts';
import {
  type ClientMessage,
  errorMessage,
  MessageError,
  readMessage,
  steerRefusal,
  withLane,
} from './response-messages.ts';
import { inResponseTerms } from './response-request.ts';

/** Answers under way when a connection's time is up, or the gateway shuts down, may still end so long. */
const farewellMsMax = 800;
/** Time for a client to close in turn; with the above well below the three seconds in which the gateway stops. */
const closingMsMax = 500;

export interface ConnectionOptions {
  readonly socket: ClientSocket;
  readonly maker: ResponseMaker;
  /** A validated body as an order. Throws GatewayError. */
  readonly readOrder: (body: Readonly<Record<string, unknown>>) => ResponseOrder;
  /** Counts a request in; the result counts it out. Throws rate_limit_exceeded. */
  readonly enter: () => () => void;
  /** An error that went to the client. */
  readonly onError: (error: GatewayError) => void;
  /** Age at which it takes no more requests. */
  readonly lifetimeMs: number;
}

export interface Connection {
  receive(text: string): void;
  /** The client left. */
  leave(): void;
  /** The gateway shuts down: answers end with an error, then the socket with 1012. */
  drain(): Promise<void>;
}

export function openConnection(options: ConnectionOptions): Connection {
  const { socket, maker } = options;
  const lanes = createLanes();
  const recent = createRecentResponses();
  const closing = new AbortController();
  let refusal: GatewayError | null = null;
  const aging = setTimeout(() => void retire(), options.lifetimeMs);

  async function tell(thrown: unknown, lane: string | null): Promise<void> {
    const error = toGatewayError(inResponseTerms(thrown));
    options.onError(error);
    await socket.send(errorMessage(error, lane));
  }

  async function retire(): Promise<void> {
    refusal = new GatewayError(
      'websocket_connection_limit_reached',
      'The connection has reached its greatest age. Open a new one; stored responses can be gone on from there.',
    );
    await tell(refusal, null);
    await Promise.race([lanes.idle(), wait(farewellMsMax, undefined, { ref: false })]);
    socket.close(closeCodes.goingAway, 'connection limit reached');
  }

  function receive(message: ClientMessage): void {
    if (message.type === 'steer') {
      void socket.send(steerRefusal(message.body));
      return;
    }
    const { lane, body } = message;
    if (refusal !== null) throw refusal;
    lanes.run(lane ?? '', () => answer(body, lane));
  }

  /** Never rejects. */
  async function answer(body: Readonly<Record<string, unknown>>, lane: string | null): Promise<void> {
    if (closing.signal.aborted) return;
    let previousId: string | null = null;
    try {
      const { generate, ...fields } = body;
      const order = options.readOrder(fields);
      previousId = order.settings.previous_response_id;
      const leave = options.enter();
      try {
        if (generate === false) await warmUp(order, lane);
        else await generateAnswer(order, lane);
      } finally {
        leave();
      }
    } catch (error) {
      if (previousId !== null) recent.forget(previousId);
      await tell(error, lane);
    }
  }

  async function warmUp(order: ResponseOrder, lane: string | null): Promise<void> {
    const record = maker.warmUp(order, recent.find);
    recent.add(record);
    for (const event of warmUpEvents(record.response)) await socket.send({ ...event, ...withLane(lane) });
  }

  async function generateAnswer(order: ResponseOrder, lane: string | null): Promise<void> {
    // An `error` event would end the response for the SDK before response.failed does.
    const run = maker.open(order, {
      signal: closing.signal,
      source: recent.find,
      failSilently: true,
      onEnd: recent.add,
    });
    await run.starting;
    for await (const batch of run.events) {
      await Promise.all(batch.map((event) => socket.send({ ...event, ...withLane(lane) })));
    }
    if (run.failure === null) return;
    options.onError(run.failure);
    recent.forget(order.settings.previous_response_id ?? '');
  }

  return {
    receive(text) {
      try {
        receive(readMessage(text));
      } catch (error) {
        void tell(error, error instanceof MessageError ? error.lane : null);
      }
    },
    leave() {
      clearTimeout(aging);
      closing.abort(new GatewayError('client_gone', 'The client left before the answer was complete.'));
    },
    async drain() {
      refusal = new GatewayError('draining', 'The gateway is shutting down. Send the request again.');
      closing.abort(refusal);
      await Promise.race([lanes.idle(), wait(farewellMsMax, undefined, { ref: false })]);
      socket.close(closeCodes.restart, 'the gateway is shutting down');
      setTimeout(() => socket.terminate(), closingMsMax).unref();
    },
  };
}
