/**
 * Whether a grammar compiles is found out at the gateway, in a thread and with a time limit, before the ring hears of
 * it: a grammar that would explode is refused in bounded time.
 */
import { createHash } from 'node:crypto';
import { toShardError } from '../../shards/errors.ts';
import type { GrammarThreads } from '../../shards/grammar-threads.ts';
import type { CompletionService } from '../completion.ts';
import { GatewayError } from '../errors.ts';

/** Four times what a schema of 200 optional properties takes over a vocabulary of 49,152 tokens (1 s). */
export const compileMsMax = 4000;
/** Grammars that wait for a thread; each has at most compileMsMax before it. */
const waitingMax = 16;
/** Sums of grammars that compiled: they are not tried again. */
const knownMax = 4096;

/** Throws GatewayError invalid_request for a grammar that does not compile, queue_full. */
type GrammarCheck = (ebnf: string, param: string) => Promise<void>;

export function createGrammarCheck(threads: Pick<GrammarThreads, 'compile'>): GrammarCheck {
  const known = new Set<string>();
  let waiting = 0;
  return async (ebnf, param) => {
    const sum = createHash('sha256').update(ebnf).digest('base64');
    if (known.has(sum)) return;
    if (waiting >= waitingMax) {
      throw new GatewayError('queue_full', 'Too many grammars are being compiled; try again in a moment.');
    }
    waiting += 1;
    try {
      await threads.compile(ebnf);
    } catch (cause) {
      const { code, message } = toShardError(cause);
      if (code !== 'bad_request') throw cause;
      throw new GatewayError('invalid_request', `'${param}' cannot be served: ${message}`, { param, cause });
    } finally {
      waiting -= 1;
    }
    if (known.size >= knownMax) known.delete(known.values().next().value!);
    known.add(sum);
  };
}

/** A service that starts no answer before its grammar is known to compile. */
export function withGrammarCheck(service: CompletionService, check: GrammarCheck): CompletionService {
  return {
    async start(request) {
      if (request.grammar !== undefined) await check(request.grammar.ebnf, request.grammar.param);
      return service.start(request);
    },
  };
}
