/**
 * Bodies of requests as JSON values: an empty one is none, and one that is nested too deeply is refused before anything
 * that calls itself (serialisers, schemas → grammars) looks at it.
 */
import type { FastifyInstance } from 'fastify';
import { GatewayError } from '../src/errors.ts';

/** The SDKs' own bound for what they read; schemas of tools, the deepest that people send, have some twenty. */
const jsonDepthMax = 128;

/** Replaces Fastify's parsers. */
export function parseJsonBodies(app: FastifyInstance): void {
  app.removeContentTypeParser('text/plain');
  const parseJson = app.getDefaultJsonParser('error', 'error');
  // Clients name the content type of what they do not send, too (DELETE from Python); schemas know who needs a body.
  app.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') {
      done(null, undefined);
      return undefined;
    }
    return parseJson(request, body, (error, value) => {
      if (error !== null || !isTooDeep(value)) done(error, value);
      else done(tooDeep('The body'));
    });
  });
}

export function tooDeep(what: string): GatewayError {
  return new GatewayError('invalid_request', `${what} is nested more than ${jsonDepthMax} levels deep.`);
}

/** Level by level, so that no depth is too much for it. */
export function isTooDeep(value: unknown): boolean {
  let level = [value].filter(isNested);
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth >= jsonDepthMax) return true;
    level = level.flatMap((node) => Object.values(node).filter(isNested));
  }
  return false;
}

const isNested = (value: unknown): value is object => typeof value === 'object' && value !== null;
