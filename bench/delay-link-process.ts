/**
 * Entry of the process that runs every link of a benchmark, so that neither the gateway's nor a worker's event loop
 * delays a chunk.
 */
import { type DelayLink, type LinkTraffic, openDelayLink } from './delay-link.ts';
import type { LinkShape } from './delay-schedule.ts';
import { answerCalls } from './process-calls.ts';

export type LinkCalls = {
  /** Opens a link; the output is its port. */
  readonly open: {
    readonly input: { readonly targetPort: number; readonly shape: LinkShape };
    readonly output: number;
  };
  /** Counters of all links, in the order of their opening. */
  readonly traffic: { readonly input: null; readonly output: readonly LinkTraffic[] };
};

const links: DelayLink[] = [];

answerCalls<LinkCalls>(
  {
    async open({ targetPort, shape }) {
      const link = await openDelayLink(targetPort, shape);
      links.push(link);
      return link.port;
    },
    traffic: () => links.map((link) => link.traffic()),
  },
  () => {
    for (const link of links) void link.close();
  },
);
