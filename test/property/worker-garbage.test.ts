import assert from 'node:assert/strict';
import { connect, constants } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import type { ShardError } from '../../shards/errors.ts';
import { encodeForward } from '../../shards/forward-message.ts';
import { allocateFrame, createFrameDecoder, type Frame, frameTypes } from '../../shards/frame.ts';
import { decodeError, encodeClose } from '../../shards/messages.ts';
import { encodeChainOpen, encodeTailOpen } from '../../shards/open-message.ts';
import { fakeContinuation } from '../support/fake-engine.ts';
import {
  chainIdentity,
  eventually,
  type FakeRing,
  openFakeSession,
  startFakeRing,
  tailOpen,
} from '../support/fake-ring.ts';

let ring: FakeRing;
before(async () => {
  ring = await startFakeRing({
    ranges: [{ start: 0, end: 6 }],
    clusterKey: null,
    worker: { limits: { graceMs: 300 } },
  });
});
after(() => ring.close());

/** The worker still serves, and holds nothing of what was thrown at it. */
async function assertServes(): Promise<void> {
  const session = openFakeSession(ring, 'control');
  const verdict = await session.ask({ round: 0, position: 0, ids: Uint32Array.of(1, 2, 3), headFrom: 2 });
  assert.deepEqual([...verdict.ids], fakeContinuation([1, 2, 3], 1));
  session.close('free');
  await eventually(() => ring.nodes[0]!.worker.sessionCount === 0, 'no session is left');
}

/** Sends chunks on a stream, END_STREAM behind them, and collects what comes back. */
async function throwAt(path: string, chunks: readonly Uint8Array[], reset = false): Promise<Frame[]> {
  const session = connect(ring.nodes[0]!.worker.origin);
  session.on('error', () => {});
  const frames: Frame[] = [];
  await new Promise<void>((resolve) => {
    const stream = session.request({ ':method': 'POST', ':path': path });
    const decoder = createFrameDecoder(0);
    stream.on('error', () => {});
    stream.on('data', (chunk) => decoder.push(chunk, (frame) => frames.push(frame)));
    stream.on('close', resolve);
    for (const chunk of chunks) stream.write(chunk);
    if (reset) stream.close(constants.NGHTTP2_CANCEL);
    else stream.end();
  });
  session.destroy();
  return frames;
}

const open = encodeChainOpen({
  topology: 'chain',
  route: [],
  identity: chainIdentity,
  remainingMs: 5000,
  adopt: null,
});
const row = encodeForward({
  epoch: 0,
  round: 0,
  position: 0,
  headFrom: 1,
  ids: Uint32Array.of(1),
  hidden: null,
  timings: [],
});

/** A frame with a plausible header, so that garbage gets past the first check. */
const plausible = fc
  .tuple(
    fc.constantFrom(...(Object.keys(frameTypes) as Frame['type'][])),
    fc.integer({ min: 0, max: 3 }),
    fc.integer({ min: 0, max: 3 }),
    fc.integer({ min: 0, max: 5000 }),
    fc.integer({ min: 0, max: 5 }),
    fc.uint8Array({ maxLength: 40 }),
  )
  .map(([type, epoch, round, position, count, payload]) => {
    const bytes = allocateFrame({ type, epoch, round, position, count }, Math.ceil(payload.length / 4) * 4);
    bytes.set(payload, 24);
    return bytes;
  });

test('startWorker answers garbage frames with ERROR or an end, and serves on', async () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 80 }),
    plausible,
    fc.constant(open),
    fc.constant(row),
    fc.constant(encodeClose('keep')),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('forward', 'verdicts'),
      fc.array(piece, { maxLength: 6 }),
      fc.boolean(),
      async (kind, pieces, reset) => {
        const frames = await throwAt(`/v1/sessions/fuzz/${kind}`, pieces, reset);
        for (const frame of frames)
          assert.ok(frame.type === 'error' && decodeError(frame).error.code !== 'engine_failed');
      },
    ),
    { numRuns: 120 },
  );
  await assertServes();
});

test('startWorker answers what is no frame with bad_frame', async () => {
  const errorOf = async (kind: string, ...chunks: Uint8Array[]): Promise<ShardError> => {
    const frames = await throwAt(`/v1/sessions/fuzz/${kind}`, chunks);
    return decodeError(frames.at(-1)!).error;
  };
  assert.equal((await errorOf('forward', new Uint8Array(64).fill(255))).code, 'bad_frame');
  assert.equal((await errorOf('forward', row)).code, 'bad_frame');
  assert.equal((await errorOf('forward', open, open)).code, 'bad_frame');
  assert.equal((await errorOf('forward', open, new Uint8Array(24).fill(9))).code, 'bad_frame');
  assert.equal((await errorOf('verdicts', encodeTailOpen(tailOpen), row)).code, 'bad_frame');
  const outside = encodeForward({
    epoch: 0,
    round: 0,
    position: 0,
    headFrom: 0,
    ids: Uint32Array.of(5000),
    hidden: null,
    timings: [],
  });
  assert.equal((await errorOf('forward', open, outside)).code, 'bad_request');
  await assertServes();
});

test('startWorker survives bytes that are not HTTP/2', async () => {
  const { hostname, port } = new URL(ring.nodes[0]!.worker.origin);
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  await fc.assert(
    fc.asyncProperty(fc.boolean(), fc.uint8Array({ maxLength: 200 }), async (withPreface, bytes) => {
      await new Promise<void>((resolve) => {
        const socket = connectTcp(Number(port), hostname, () => {
          if (withPreface) socket.write(preface);
          socket.end(bytes);
        });
        socket.on('error', () => {});
        socket.on('close', () => resolve());
        socket.resume();
        setTimeout(() => socket.destroy(), 20);
      });
    }),
    { numRuns: 40 },
  );
  await assertServes();
});

test('startWorker survives a flood of resets', async () => {
  const session = connect(ring.nodes[0]!.worker.origin);
  session.on('error', () => {});
  for (let i = 0; i < 500; i++) {
    const stream = session.request({ ':method': 'POST', ':path': `/v1/sessions/r${i}/forward` });
    stream.on('error', () => {});
    stream.write(open);
    stream.close(constants.NGHTTP2_CANCEL);
  }
  await new Promise<void>((resolve) => session.close(() => resolve()));
  await assertServes();
});
