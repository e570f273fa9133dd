/** Field names of requests that nobody has heard of, logged once each: the first sight of a typing error. */
import type { FastifyRequest } from 'fastify';

/** Names that are remembered; beyond it they go unlogged. */
const unknownNamesMax = 256;
/** A longer name is cut. */
const nameCharsMax = 64;

/** One per app: takes what a request had too much. */
export function createUnknownNote(): (names: readonly string[], request: FastifyRequest) => void {
  const noted = new Set<string>();
  return (names, request) => {
    for (const name of names) {
      if (noted.size >= unknownNamesMax) return;
      const shown = name.slice(0, nameCharsMax);
      if (noted.has(shown)) continue;
      noted.add(shown);
      request.log.info({ field: shown }, 'a request field is not known here and was ignored');
    }
  };
}
