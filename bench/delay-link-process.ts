/**
 * Entry of the process that runs every link of a benchmark, so that neither the gateway's nor a worker's event loop
 * delays a chunk. Speaks with delay-links.ts over the fork's channel; when the channel closes, the links close and the
 * process ends by itself.
 */
import { type DelayLink, type LinkTraffic, openDelayLink } from './delay-link.ts';
import type { LinkShape } from './delay-schedule.ts';

export type LinkCommand =
  | { readonly id: number; readonly type: 'open'; readonly targetPort: number; readonly shape: LinkShape }
  | { readonly id: number; readonly type: 'traffic' };

export type LinkReply =
  | { readonly id: number; readonly type: 'opened'; readonly port: number }
  | { readonly id: number; readonly type: 'traffic'; readonly links: readonly LinkTraffic[] }
  | { readonly id: number; readonly type: 'failed'; readonly message: string };

const links: DelayLink[] = [];

async function obey(command: LinkCommand): Promise<LinkReply> {
  if (command.type === 'traffic') {
    return { id: command.id, type: 'traffic', links: links.map((link) => link.traffic()) };
  }
  const link = await openDelayLink(command.targetPort, command.shape);
  links.push(link);
  return { id: command.id, type: 'opened', port: link.port };
}

process.on('message', (command: LinkCommand) => {
  obey(command)
    .catch((error: unknown): LinkReply => ({ id: command.id, type: 'failed', message: String(error) }))
    .then((reply) => process.send?.(reply));
});
process.on('disconnect', () => {
  for (const link of links) void link.close();
});
