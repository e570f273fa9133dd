import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ShardError } from '../../shards/errors.ts';
import {
  createFrameDecoder,
  type Frame,
  frameRowsMax,
  headerBytes,
  positionMax,
} from '../../shards/frame.ts';
import {
  decodeClose,
  decodeError,
  decodeForward,
  decodeVerdict,
  encodeClose,
  encodeError,
  encodeForward,
  encodeVerdict,
  type ForwardMessage,
  type VerdictMessage,
} from '../../shards/messages.ts';
import { decodeChainOpen, decodeTailOpen } from '../../shards/open-message.ts';

/** Objects as the decoders make them. */
const plain = { noNullPrototype: true };
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const timings = fc.array(fc.record({ queueUs: u32, runUs: u32 }, plain), { maxLength: 4 });
const coordinates = { epoch: u32, round: u32, position: fc.integer({ min: 0, max: positionMax }), timings };

const forward: fc.Arbitrary<ForwardMessage> = fc
  .tuple(fc.uint32Array({ minLength: 1, maxLength: 12 }), fc.integer({ min: 0, max: 3 }), fc.nat())
  .chain(([ids, width, head]) =>
    fc.record(
      {
        ...coordinates,
        headFrom: fc.constant(head % (ids.length + 1)),
        ids: fc.constant(ids),
        hidden:
          width === 0
            ? fc.constant(null)
            : fc.float32Array({ minLength: width * ids.length, maxLength: width * ids.length }),
      },
      plain,
    ),
  );

const verdict: fc.Arbitrary<VerdictMessage> = fc
  .tuple(fc.uint32Array({ minLength: 1, maxLength: 12 }), fc.boolean(), fc.boolean())
  .chain(([ids, finished, whole]) =>
    fc.record(
      {
        ...coordinates,
        ids: fc.constant(ids),
        finished: fc.constant(finished),
        accepted: fc.constant(finished && whole ? ids.length : ids.length - 1),
        kind: fc.constantFrom('recovered' as const, 'bonus' as const),
      },
      plain,
    ),
  );

function concat(parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts);
}

/** Cuts bytes at the given points (taken modulo the length). */
function split(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const points = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return points.slice(1).map((end, i) => bytes.subarray(points[i], end));
}

function decodeAll(chunks: readonly Uint8Array[], hiddenWidth = 3): Frame[] {
  const decoder = createFrameDecoder(hiddenWidth);
  const frames: Frame[] = [];
  for (const chunk of chunks) decoder.push(chunk, (frame) => frames.push(frame));
  return frames;
}

test('createFrameDecoder gives back every message at any split of chunks', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          forward.map((message) => ({ forward: message })),
          verdict.map((message) => ({ verdict: message })),
        ),
        { maxLength: 6 },
      ),
      fc.array(fc.nat(), { maxLength: 20 }),
      (messages, cuts) => {
        const bytes = concat(
          messages.map((m) => ('forward' in m ? encodeForward(m.forward) : encodeVerdict(m.verdict))),
        );
        const frames = decodeAll(split(bytes, cuts));
        assert.equal(frames.length, messages.length);
        for (const [i, message] of messages.entries()) {
          if ('forward' in message) assert.deepEqual(decodeForward(frames[i]!), message.forward);
          else assert.deepEqual(decodeVerdict(frames[i]!), message.verdict);
        }
      },
    ),
  );
});

test('createFrameDecoder takes any bytes and throws bad_frame alone', () => {
  const decoders = [decodeForward, decodeVerdict, decodeClose, decodeError, decodeChainOpen, decodeTailOpen];
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 8 }), (chunks) => {
      try {
        for (const frame of decodeAll(chunks)) for (const decode of decoders) decode(frame);
      } catch (error) {
        assert.ok(error instanceof ShardError && error.code === 'bad_frame', String(error));
      }
    }),
    { numRuns: 500 },
  );
});

test('payload decoders take any payload and throw bad_frame alone', () => {
  const decoders = [decodeForward, decodeVerdict, decodeClose, decodeError, decodeChainOpen, decodeTailOpen];
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 120 }),
      fc.integer({ min: 0, max: frameRowsMax }),
      (bytes, count) => {
        const payload = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
        payload.set(bytes);
        for (const decode of decoders) {
          try {
            decode({ type: 'forward', flags: 0, epoch: 0, round: 0, position: 0, count, chain: 0, payload });
          } catch (error) {
            assert.ok(error instanceof ShardError && error.code === 'bad_frame', String(error));
          }
        }
      },
    ),
    { numRuns: 1000 },
  );
});

test('createFrameDecoder refuses a valid frame with any byte of its header out of bounds', () => {
  const good = encodeForward({
    epoch: 1,
    round: 2,
    position: 3,
    headFrom: 0,
    ids: Uint32Array.of(1, 2),
    hidden: null,
    timings: [],
  });
  const broken: [offset: number, value: number, what: RegExp][] = [
    [0, 13, /multiple of 4/],
    [3, 1, /above/],
    [4, 2, /version 2/],
    [5, 9, /unknown type/],
    [6, 1, /reserved/],
    [19, 255, /position/],
    [21, 255, /count/],
    [22, 1, /chain/],
  ];
  for (const [offset, value, what] of broken) {
    const bytes = good.slice();
    bytes[offset] = value;
    const decoder = createFrameDecoder(0);
    assert.throws(() => decoder.push(bytes, () => assert.fail('no frame')), what);
    // A decoder that has failed stays failed: what follows garbage is garbage.
    assert.throws(() => decoder.push(good, () => assert.fail('no frame')), what);
  }
});

test('encodeError round-trips code, detail and hop, and any message fits its limit', () => {
  fc.assert(
    fc.property(
      fc.string({ minLength: 900, maxLength: 1500, unit: 'binary' }),
      fc.integer({ min: 0, max: 64 }),
      (message, hop) => {
        const error = new ShardError('gap', message, {
          detail: { length: 7, nothing: Number.NaN, where: 'x'.repeat(500) },
        });
        const [frame] = decodeAll([encodeError({ epoch: 3, round: 4, error, hop })]);
        const decoded = decodeError(frame!);
        assert.equal(decoded.error.code, 'gap');
        assert.equal(decoded.hop, hop);
        assert.equal(decoded.epoch, 3);
      },
    ),
    { numRuns: 20 },
  );
});

test('encodeClose says keep and free', () => {
  for (const mode of ['keep', 'free'] as const)
    assert.equal(decodeClose(decodeAll([encodeClose(mode)])[0]!), mode);
  assert.equal(encodeClose('keep').length, headerBytes + 4);
});
