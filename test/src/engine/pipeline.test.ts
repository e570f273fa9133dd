/** The ring over workers that are made up: which streams are opened, and that none is left when one cannot be. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ShardError } from '../../../shards/errors.ts';
import type { Topology } from '../../../shards/open-message.ts';
import { greedy } from '../../../shards/sampler.ts';
import type { Members, RoutedMember } from '../../../src/cluster/members.ts';
import { createPipeline } from '../../../src/engine/pipeline.ts';
import { fakeManifest } from '../../support/fake-engine.ts';
import { createManualClock } from '../../support/manual-clock.ts';

/** Two workers, of which the one at `refusing` takes no forward stream; what was done to streams, in order. */
function ringOfTwo(topology: Topology, refusing: number) {
  const events: string[] = [];
  const route = [0, 1].map((index) => ({
    origin: `http://worker-${index}`,
    manifest: fakeManifest({ start: 3 * index, end: 3 * index + 3 }),
    client: {
      openVerdicts() {
        events.push(`verdicts of ${index}`);
        return { bytesSent: 0, bytesReceived: 0, closed: false, close: () => events.push('verdicts closed') };
      },
      openForward() {
        if (index === refusing) throw new ShardError('bad_request', 'no worker would take this');
        events.push(`forward to ${index}`);
        const close = (mode: string) => events.push(`forward to ${index} closed: ${mode}`);
        return { bytesSent: 0, bytesReceived: 0, closed: false, send: () => true, close };
      },
    },
  }));
  const members = { route: () => route as unknown as RoutedMember[], states: () => [] };
  const ring = createPipeline({
    ...{ members: members as unknown as Members, topology, clusterKey: null, clock: createManualClock() },
  });
  const tail = { sampling: greedy, promptLength: 1, eosIds: [], minTokens: 0, ignoreEos: true };
  const open = () =>
    ring.open(
      { session: 's', tail, adopt: null, remainingMs: 1000 },
      { onVerdict() {}, onGap() {}, onError: (error) => events.push(String(error)) },
    );
  return { open, events };
}

for (const [topology, refusing, opened] of [
  ['chain', 0, []],
  ['star', 1, ['forward to 0', 'forward to 0 closed: free']],
] as const) {
  test(`createPipeline closes what it has opened of a ${topology} that cannot be opened whole`, () => {
    const { open, events } = ringOfTwo(topology, refusing);
    assert.throws(open, /no worker would take this/);
    assert.deepEqual(events, ['verdicts of 1', ...opened, 'verdicts closed']);
  });
}
