import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import type { SparseProbs } from '../../shards/draft-probs.ts';
import { ShardError } from '../../shards/errors.ts';
import { decodeForward, encodeForward, type ForwardMessage } from '../../shards/forward-message.ts';
import {
  createFrameDecoder,
  type Frame,
  frameRowsMax,
  headerBytes,
  positionMax,
  scoreRowsMax,
} from '../../shards/frame.ts';
import { type LogprobRows, logprobsTopMax } from '../../shards/logprobs.ts';
import { decodeClose, decodeError, encodeClose, encodeError } from '../../shards/messages.ts';
import { decodeChainOpen, decodeTailOpen, encodeTailOpen, type TailOpen } from '../../shards/open-message.ts';
import {
  decodeScores,
  decodeVerdict,
  encodeScores,
  encodeVerdict,
  type ScoresMessage,
  type VerdictMessage,
} from '../../shards/verdict-message.ts';
import type { Leniency } from '../../shards/verify.ts';

/** Objects as the decoders make them. */
const plain = { noNullPrototype: true };
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const timings = fc.array(
  fc
    .tuple(u32, u32, fc.integer({ min: 1, max: 0xffff }), fc.nat())
    .map(([queueUs, runUs, passRows, some]) => ({
      queueUs,
      runUs,
      passRows,
      passSessions: 1 + (some % passRows),
    })),
  { maxLength: 4 },
);
const coordinates = { epoch: u32, round: u32, position: fc.integer({ min: 0, max: positionMax }), timings };

const logprob = fc.float({ min: -100, max: 0, noNaN: true, noDefaultInfinity: true });
const f16 = fc.double({ min: 1e-6, max: 1, noNaN: true }).map((value) => Math.f16round(value));

function float32s(length: number, of: fc.Arbitrary<number>): fc.Arbitrary<Float32Array> {
  return fc.array(of, { minLength: length, maxLength: length }).map((values) => Float32Array.from(values));
}

/** Pairs that hold the drafted id. */
function pairsWith(drafted: number): fc.Arbitrary<SparseProbs> {
  return fc
    .uniqueArray(
      u32.filter((id) => id !== drafted),
      { maxLength: 4 },
    )
    .chain((others) => {
      const ids = Uint32Array.from([...others, drafted]);
      return fc.record({ ids: fc.constant(ids), probs: float32s(ids.length, f16) }, plain);
    });
}

/** Optional parts of a FORWARD of these ids. */
function extras(
  ids: Uint32Array,
  head: number,
): fc.Arbitrary<Pick<ForwardMessage, 'headFrom' | 'scores' | 'draftProbs'>> {
  const headFrom = head % (ids.length + 1);
  const draft = [...ids.subarray(headFrom + 1)];
  const none = fc.constant({ headFrom });
  const scored = fc.constant({ headFrom: ids.length, scores: true });
  const probable = fc.tuple(...draft.map(pairsWith)).map((draftProbs) => ({ headFrom, draftProbs }));
  return fc.oneof(none, ids.length > 1 ? scored : none, draft.length > 0 ? probable : none);
}

const forward: fc.Arbitrary<ForwardMessage> = fc
  .tuple(fc.uint32Array({ minLength: 1, maxLength: 12 }), fc.integer({ min: 0, max: 3 }), fc.nat())
  .chain(([ids, width, head]) => {
    const length = width * ids.length;
    const hidden =
      width === 0 ? fc.constant(null) : fc.float32Array({ minLength: length, maxLength: length });
    return fc
      .tuple(fc.record({ ...coordinates, ids: fc.constant(ids), hidden }, plain), extras(ids, head))
      .map(([message, more]) => ({ ...message, ...more }));
  });

function logprobRows(rows: number): fc.Arbitrary<LogprobRows> {
  return fc.integer({ min: 0, max: logprobsTopMax }).chain((top) =>
    fc.record(
      {
        top: fc.constant(top),
        own: float32s(rows, logprob),
        topIds: fc.uint32Array({ minLength: rows * top, maxLength: rows * top }),
        topLogprobs: float32s(rows * top, logprob),
      },
      plain,
    ),
  );
}

const leniency: fc.Arbitrary<Leniency> = fc
  .tuple(fc.nat(64), fc.nat(64), fc.float({ min: 0, max: 1, noNaN: true }))
  .map(([a, b, share]) => ({
    judged: Math.max(a, b),
    kept: Math.min(a, b),
    distortion: Math.fround(share * Math.min(a, b)),
  }));

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
        logprobs: logprobRows(ids.length),
        leniency,
      },
      {
        ...plain,
        requiredKeys: ['epoch', 'round', 'position', 'timings', 'ids', 'finished', 'accepted', 'kind'],
      },
    ),
  );

const scores: fc.Arbitrary<ScoresMessage> = fc
  .integer({ min: 1, max: scoreRowsMax })
  .chain((rows) => fc.record({ ...coordinates, logprobs: logprobRows(rows) }, plain));

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
          scores.map((message) => ({ scores: message })),
        ),
        { maxLength: 6 },
      ),
      fc.array(fc.nat(), { maxLength: 20 }),
      (messages, cuts) => {
        const bytes = concat(
          messages.map((m) =>
            'forward' in m
              ? encodeForward(m.forward)
              : 'verdict' in m
                ? encodeVerdict(m.verdict)
                : encodeScores(m.scores),
          ),
        );
        const frames = decodeAll(split(bytes, cuts));
        assert.equal(frames.length, messages.length);
        for (const [i, message] of messages.entries()) {
          if ('forward' in message) assert.deepEqual(decodeForward(frames[i]!), message.forward);
          else if ('verdict' in message) assert.deepEqual(decodeVerdict(frames[i]!), message.verdict);
          else assert.deepEqual(decodeScores(frames[i]!), message.scores);
        }
      },
    ),
  );
});

const decoders = [
  decodeForward,
  decodeVerdict,
  decodeScores,
  decodeClose,
  decodeError,
  decodeChainOpen,
  decodeTailOpen,
];

test('createFrameDecoder holds a frame that comes byte by byte in about its own size', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const usedBytes = (): number => {
    collect();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const width = 1024;
  const hidden = new Float32Array(256 * width).map((_, i) => i);
  const ids = Uint32Array.from({ length: 256 }, (_, i) => i);
  const message = { epoch: 1, round: 1, position: 0, ids, headFrom: 256, hidden, timings: [] };
  const bytes = encodeForward(message);
  const decoder = createFrameDecoder(width);
  const frames: Frame[] = [];
  const before = usedBytes();
  for (let at = 0; at < bytes.length - 1; at++)
    decoder.push(Uint8Array.of(bytes[at]!), (frame) => frames.push(frame));
  const heldBytes = usedBytes() - before;
  assert.ok(heldBytes < 3 * bytes.length, `${heldBytes} bytes for ${bytes.length}`);
  decoder.push(bytes.subarray(bytes.length - 1), (frame) => frames.push(frame));
  assert.deepEqual(frames.map(decodeForward), [message]);
});

test('createFrameDecoder takes any bytes and throws bad_frame alone', () => {
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
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 120 }),
      fc.integer({ min: 0, max: frameRowsMax }),
      fc.nat(3),
      (bytes, count, flags) => {
        const payload = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
        payload.set(bytes);
        for (const decode of decoders) {
          try {
            decode({ type: 'forward', flags, epoch: 0, round: 0, position: 0, count, chain: 0, payload });
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
    [4, 1, /version 1/],
    [5, 9, /unknown type/],
    [6, 4, /reserved/],
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

/** A FORWARD of one known and two drafted ids, with one field of its probabilities made wrong. */
function probable(change: Partial<{ ids: number[]; probs: number[] }>): Uint8Array {
  const first = { ids: Uint32Array.of(7), probs: Float32Array.of(1) };
  const { ids = [8, 9], probs = [0.5, 0.25] } = change;
  return encodeForward({
    epoch: 1,
    round: 2,
    position: 3,
    headFrom: 0,
    ids: Uint32Array.of(6, 7, 8),
    hidden: null,
    timings: [],
    draftProbs: [first, { ids: Uint32Array.from(ids), probs: Float32Array.from(probs) }],
  });
}

test('decodeForward refuses draft probabilities that are no distribution of the draft', () => {
  const decode = (bytes: Uint8Array) => decodeForward(decodeAll([bytes])[0]!);
  assert.equal(decode(probable({})).draftProbs?.length, 2);
  assert.throws(() => decode(probable({ ids: [5, 9] })), /has no probability/);
  assert.throws(() => decode(probable({ ids: [8, 8] })), /two draft probabilities/);
  assert.throws(() => decode(probable({ probs: [0.5, 0] })), /not in \(0, 1\]/);
  assert.throws(() => decode(probable({ probs: [1.5, 0.1] })), /not in \(0, 1\]/);
  assert.throws(() => decode(probable({ probs: [Number.NaN, 0.1] })), /not in \(0, 1\]/);
  assert.throws(() => decode(probable({ ids: [], probs: [] })), /0 pairs/);
  const long = Array.from({ length: 321 }, (_, i) => i);
  assert.throws(() => decode(probable({ ids: long, probs: long.map(() => 0.1) })), /321 pairs/);
});

test('decodeForward takes only prefill of bounded length as rows to score', () => {
  const scored = (rows: number, headFrom: number) => {
    const ids = new Uint32Array(rows);
    const bytes = encodeForward({
      ...{ epoch: 1, round: 2, position: 3, ids, headFrom, hidden: null, timings: [], scores: true },
    });
    return decodeForward(decodeAll([bytes])[0]!);
  };
  assert.equal(scored(scoreRowsMax + 1, scoreRowsMax + 1).scores, true);
  for (const [rows, headFrom] of [
    [scoreRowsMax + 2, scoreRowsMax + 2],
    [1, 1],
    [3, 2],
  ] as const) {
    assert.throws(() => scored(rows, headFrom), /rows to score/);
  }
});

test('decodeForward refuses the timing of a pass with fewer rows than sessions', () => {
  const timed = (passRows: number, passSessions: number) => {
    const bytes = encodeForward({
      ...{ epoch: 1, round: 2, position: 3, ids: Uint32Array.of(1), headFrom: 0, hidden: null },
      timings: [{ queueUs: 5, runUs: 6, passRows, passSessions }],
    });
    return decodeForward(decodeAll([bytes])[0]!).timings;
  };
  assert.deepEqual(timed(9, 3), [{ queueUs: 5, runUs: 6, passRows: 9, passSessions: 3 }]);
  assert.deepEqual(timed(1, 1)[0]!.passSessions, 1);
  assert.throws(() => timed(2, 3), /none of 3 sessions/);
  assert.throws(() => timed(2, 0), /none of 0 sessions/);
});

const unit = fc.double({ min: 0, max: 1, noNaN: true });
const tailOpenMessage: fc.Arbitrary<TailOpen> = fc.record(
  {
    sampling: fc.record(
      {
        temperature: unit,
        topK: u32,
        topP: unit,
        minP: unit,
        seed: fc.record({ low: u32, high: u32 }, plain),
      },
      plain,
    ),
    promptLength: fc.integer({ min: 1, max: positionMax }),
    eosIds: fc.array(u32, { maxLength: 64 }),
    minTokens: fc.integer({ min: 0, max: positionMax }),
    ignoreEos: fc.boolean(),
    penalties: fc.record(
      {
        frequency: fc.double({ min: -2, max: 2, noNaN: true }).map((value) => value + 0),
        presence: fc.double({ min: -2, max: 2, noNaN: true }).map((value) => value + 0),
        repetition: fc.double({ min: 0.01, max: 100, noNaN: true }),
      },
      plain,
    ),
    logitBias: fc.array(
      fc.record({ id: u32, bias: fc.double({ min: -100, max: 100, noNaN: true }).map((v) => v + 0) }, plain),
      { maxLength: 1024 },
    ),
    logprobs: fc.integer({ min: 0, max: logprobsTopMax }),
    verification: fc.oneof(
      fc.record({ mode: fc.constant('coupled' as const) }, plain),
      fc.record({ mode: fc.constant('rejection' as const), topK: fc.integer({ min: 1, max: 320 }) }, plain),
      fc.record(
        {
          mode: fc.constant('adaptive' as const),
          tau: unit.map((value) => 0.9 * value),
          lambda1: unit,
          lambda2: unit,
          lambda3: unit,
        },
        plain,
      ),
    ),
  },
  { ...plain, requiredKeys: ['sampling', 'promptLength', 'eosIds', 'minTokens', 'ignoreEos'] },
);

test('encodeTailOpen round-trips every option, also with all biases that it allows', () => {
  fc.assert(
    fc.property(tailOpenMessage, (open) => {
      assert.deepEqual(decodeTailOpen(decodeAll([encodeTailOpen(open)])[0]!), open);
    }),
  );
  const logitBias = Array.from({ length: 1024 }, (_, i) => ({
    id: 4_000_000_000 + i,
    bias: -99.12345678901235,
  }));
  const [largest] = fc.sample(tailOpenMessage, 1);
  encodeTailOpen({ ...largest!, logitBias });
});

test('encodeTailOpen refuses what a tail would refuse', () => {
  const [open] = fc.sample(tailOpenMessage, 1);
  const refused: object[] = [
    { logprobs: 21 },
    { verification: { mode: 'magic' } },
    { verification: { mode: 'rejection', topK: 321 } },
    { verification: { mode: 'adaptive', tau: 0.91, lambda1: 0, lambda2: 0, lambda3: 0 } },
    { penalties: { frequency: 3, presence: 0, repetition: 1 } },
    { penalties: { frequency: 0, presence: 0, repetition: 0 } },
    { logitBias: [{ id: 1, bias: 101 }] },
    { logitBias: new Array(1025).fill({ id: 1, bias: 1 }) },
    { surprise: 1 },
  ];
  for (const part of refused) {
    assert.throws(() => encodeTailOpen({ ...open!, ...part }), { code: 'bad_request' }, JSON.stringify(part));
  }
});
