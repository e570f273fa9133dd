/**
 * What a worker checks before it runs anything for a stranger's bytes: an OPEN against its own manifest, a FORWARD
 * against its own dimensions. Pure; throws ShardError that says what differs.
 */
import { ShardError } from './errors.ts';
import type { ForwardMessage } from './forward-message.ts';
import { hopsMax } from './frame.ts';
import { formatRange, isFirst, isTail, type LayerRange, type ShardManifest } from './manifest.ts';
import type { ChainOpen } from './open-message.ts';

/** Throws identity_mismatch, or bad_request for a route that does not go from here to the tail. */
export function checkOpen({ identity, range, dims }: ShardManifest, open: ChainOpen): void {
  for (const field of ['modelSha256', 'quantisation', 'fingerprint'] as const) {
    if (open.identity[field] === identity[field]) continue;
    throw new ShardError(
      'identity_mismatch',
      `this worker's ${field} is ${identity[field]}, not ${open.identity[field]}`,
      {
        detail: { field },
      },
    );
  }
  if (open.topology === 'star') {
    if (open.route.length > 0)
      throw new ShardError('bad_request', 'a star has no route: the gateway relays every hop');
    return;
  }
  let last: LayerRange = range;
  for (const hop of open.route) {
    if (hop.range.start !== last.end) {
      throw new ShardError(
        'bad_request',
        `the route goes from layers ${formatRange(last)} to ${formatRange(hop.range)}`,
      );
    }
    last = hop.range;
  }
  if (!isTail(last, dims)) {
    throw new ShardError(
      'bad_request',
      `the route ends at layers ${formatRange(last)}, the model has ${dims.layers}`,
    );
  }
}

/** Throws bad_request. */
export function checkForward(
  { range, dims }: ShardManifest,
  { ids, hidden, position, timings, draftProbs = [] }: ForwardMessage,
): void {
  const width = hidden === null ? 0 : hidden.length / ids.length;
  const expectedWidth = isFirst(range) ? 0 : dims.hidden;
  if (width !== expectedWidth) {
    throw new ShardError(
      'bad_request',
      `layers ${formatRange(range)} take rows of width ${expectedWidth}, not ${width}`,
    );
  }
  if (position + ids.length > dims.contextLength) {
    throw new ShardError(
      'bad_request',
      `rows up to ${position + ids.length} exceed the context of ${dims.contextLength}`,
    );
  }
  if (timings.length >= hopsMax)
    throw new ShardError('bad_request', `rows have passed ${timings.length} stages already`);
  for (const list of [ids, ...draftProbs.map((pairs) => pairs.ids)]) {
    const stranger = list.find((id) => id >= dims.vocab);
    if (stranger !== undefined)
      throw new ShardError('bad_request', `id ${stranger} is outside the vocabulary of ${dims.vocab}`);
  }
}
