/**
 * Every answer in the making has a signal that ends it: when its client leaves, and when the app closes. The signal's
 * reason is the GatewayError to tell, so whoever is waiting needs no second rule.
 */
import type { FastifyReply } from 'fastify';
import fastifyPlugin from 'fastify-plugin';
import { GatewayError } from '../src/errors.ts';

/** Clients that neither read their last bytes nor finish their request are cut off so long after a close. */
const farewellMsMax = 1500;

declare module 'fastify' {
  interface FastifyInstance {
    /** Signal of the answer that this reply carries. */
    answerSignal(reply: FastifyReply): AbortSignal;
    /** Counts an answer that no reply carries; the result counts it out. */
    beginAnswer(): () => void;
    /** Answers in the making, and those whose last bytes are on their way. */
    answering(): number;
  }
}

export const inFlight = fastifyPlugin(
  async (app) => {
    const answers = new Set<AbortController>();
    let others = 0;
    app.decorate('answering', () => answers.size + others);
    app.decorate('beginAnswer', () => {
      others += 1;
      return () => {
        others -= 1;
      };
    });
    app.decorate('answerSignal', ({ raw }: FastifyReply) => {
      const answer = new AbortController();
      answers.add(answer);
      raw.once('close', () => {
        answers.delete(answer);
        if (!raw.writableEnded) {
          answer.abort(new GatewayError('client_gone', 'The client left before the answer was complete.'));
        }
      });
      return answer.signal;
    });
    app.addHook('preClose', async () => {
      for (const answer of answers) {
        answer.abort(new GatewayError('draining', 'The gateway is shutting down. Send the request again.'));
      }
      setTimeout(() => app.server.closeAllConnections(), farewellMsMax).unref();
    });
  },
  { name: 'in-flight' },
);
