/**
 * FORWARD: rows to run, on their way down the ring. Encoders trust their caller, decoders trust nobody: sizes must
 * match to the byte, else ShardError bad_frame. The layout is a table in docs/protocol.md.
 */
import { draftProbsRowsMax, type SparseProbs } from './draft-probs.ts';
import { allocateFrame, badFrame, type Frame, headerBytes, scoreRowsMax, timingBytes } from './frame.ts';
import {
  checkHops,
  draftProbsBytes,
  readDraftProbs,
  readTimings,
  type StageTiming,
  viewOf,
  writeDraftProbs,
  writeTimings,
} from './payload-blocks.ts';

export interface ForwardMessage {
  readonly epoch: number;
  readonly round: number;
  /** Index of ids[0] in its sequence. */
  readonly position: number;
  /** Rows before this index get no verdict; ids.length means none does. */
  readonly headFrom: number;
  /** [rows] */
  readonly ids: Uint32Array;
  /** [rows, H] of the range before; null towards the first range. */
  readonly hidden: Float32Array | null;
  /** One per stage that the rows have passed. */
  readonly timings: readonly StageTiming[];
  /** Prefill whose ids but the first the tail gives log-probabilities of; at most scoreRowsMax + 1 rows. */
  readonly scores?: boolean;
  /** What the drafter gave each id behind row headFrom; left out for a draft without probabilities. */
  readonly draftProbs?: readonly SparseProbs[];
}

const scoresFlag = 1;
const draftProbsFlag = 2;

export function encodeForward(message: ForwardMessage): Uint8Array {
  const { ids, hidden, timings, draftProbs } = message;
  const timingsAt = 4 + 4 * ids.length;
  const probsAt = timingsAt + timingBytes * timings.length;
  const hiddenAt = probsAt + (draftProbs === undefined ? 0 : draftProbsBytes(draftProbs));
  const flags = (message.scores === true ? scoresFlag : 0) | (draftProbs === undefined ? 0 : draftProbsFlag);
  const bytes = allocateFrame(
    { ...message, type: 'forward', flags, count: ids.length },
    hiddenAt + 4 * (hidden?.length ?? 0),
  );
  const view = new DataView(bytes.buffer, headerBytes);
  view.setUint16(0, message.headFrom, true);
  view.setUint16(2, timings.length, true);
  new Uint32Array(bytes.buffer, headerBytes + 4, ids.length).set(ids);
  writeTimings(view, timingsAt, timings);
  if (draftProbs !== undefined) writeDraftProbs(view, probsAt, draftProbs);
  if (hidden !== null) new Float32Array(bytes.buffer, headerBytes + hiddenAt, hidden.length).set(hidden);
  return bytes;
}

/** hidden is checked to be [rows, some width]; whose width it must be is the receiver's to know. */
export function decodeForward(frame: Frame): ForwardMessage {
  const { payload, count, flags } = frame;
  const view = viewOf(payload);
  if (payload.length < 4 + 4 * count) throw badFrame('FORWARD is shorter than its ids');
  const headFrom = view.getUint16(0, true);
  const hops = view.getUint16(2, true);
  if (headFrom > count) throw badFrame(`headFrom ${headFrom} is above the ${count} rows`);
  checkHops(hops);
  const scores = (flags & scoresFlag) !== 0;
  if (scores && (headFrom < count || count < 2 || count > scoreRowsMax + 1)) {
    throw badFrame(`rows to score are prefill of 2 to ${scoreRowsMax + 1} rows`);
  }
  const ids = new Uint32Array(payload.buffer, payload.byteOffset + 4, count);
  const timingsAt = 4 + 4 * count;
  const probsAt = timingsAt + timingBytes * hops;
  if (payload.length < probsAt) throw badFrame('FORWARD is shorter than its timings');
  const probs =
    (flags & draftProbsFlag) === 0 ? null : draftProbsOf(view, probsAt, ids.subarray(headFrom + 1));
  const hiddenAt = probsAt + (probs?.bytes ?? 0);
  const hiddenBytes = payload.length - hiddenAt;
  if (hiddenBytes % (4 * count) !== 0) throw badFrame('FORWARD is neither ids alone nor ids with whole rows');
  return {
    epoch: frame.epoch,
    round: frame.round,
    position: frame.position,
    headFrom,
    ids,
    hidden:
      hiddenBytes === 0
        ? null
        : new Float32Array(payload.buffer, payload.byteOffset + hiddenAt, hiddenBytes / 4),
    timings: readTimings(view, timingsAt, hops),
    ...(scores && { scores }),
    ...(probs !== null && { draftProbs: probs.rows }),
  };
}

function draftProbsOf(view: DataView, offset: number, draft: Uint32Array): ReturnType<typeof readDraftProbs> {
  if (draft.length < 1 || draft.length > draftProbsRowsMax) {
    throw badFrame(`probabilities of ${draft.length} draft tokens are not in 1..${draftProbsRowsMax}`);
  }
  return readDraftProbs(view, offset, draft);
}
