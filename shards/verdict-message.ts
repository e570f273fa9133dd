/**
 * What comes back from the tail: VERDICT (ids committed) and SCORES (log-probabilities of prompt tokens). Each answers
 * one FORWARD, whose epoch and round it repeats. Decoders trust nobody: sizes must match to the byte, else ShardError
 * bad_frame. Layouts are tables in docs/protocol.md.
 */
import { allocateFrame, badFrame, type Frame, headerBytes, timingBytes } from './frame.ts';
import type { LogprobRows } from './logprobs.ts';
import {
  checkHops,
  checkTop,
  logprobBytes,
  readLogprobs,
  readTimings,
  type StageTiming,
  viewOf,
  writeLogprobs,
  writeTimings,
} from './payload-blocks.ts';
import type { Leniency, Verdict } from './verify.ts';

interface TailMessage {
  readonly epoch: number;
  readonly round: number;
  /** One per stage, the tail last. */
  readonly timings: readonly StageTiming[];
}

export interface VerdictMessage extends Verdict, TailMessage {
  /** Index of the first committed id in its sequence: position + headFrom + 1 of the FORWARD. */
  readonly position: number;
}

export interface ScoresMessage extends TailMessage {
  /** Index of the first scored id in its sequence: position + 1 of the FORWARD. */
  readonly position: number;
  /** One row for each id of the FORWARD but its first. */
  readonly logprobs: LogprobRows;
}

const logprobsFlag = 1;
const leniencyFlag = 2;
/** u32 judged, u32 kept, f32 distortion. */
const leniencyBytes = 12;
const kinds = ['recovered', 'bonus'] as const;

export function encodeVerdict(message: VerdictMessage): Uint8Array {
  const { ids, timings, logprobs, leniency } = message;
  const timingsAt = 8 + 4 * ids.length;
  const leniencyAt = timingsAt + timingBytes * timings.length;
  const logprobsAt = leniencyAt + (leniency === undefined ? 0 : leniencyBytes);
  const payloadBytes = logprobsAt + (logprobs === undefined ? 0 : logprobBytes(ids.length, logprobs.top));
  const flags = (logprobs === undefined ? 0 : logprobsFlag) | (leniency === undefined ? 0 : leniencyFlag);
  const bytes = allocateFrame({ ...message, type: 'verdict', flags, count: ids.length }, payloadBytes);
  const view = new DataView(bytes.buffer, headerBytes);
  view.setUint16(0, message.accepted, true);
  view.setUint8(2, kinds.indexOf(message.kind));
  view.setUint8(3, message.finished ? 1 : 0);
  view.setUint16(4, timings.length, true);
  view.setUint16(6, logprobs?.top ?? 0, true);
  new Uint32Array(bytes.buffer, headerBytes + 8, ids.length).set(ids);
  writeTimings(view, timingsAt, timings);
  if (leniency !== undefined) writeLeniency(view, leniencyAt, leniency);
  if (logprobs !== undefined) writeLogprobs(view, logprobsAt, logprobs);
  return bytes;
}

export function decodeVerdict(frame: Frame): VerdictMessage {
  const { payload, count, flags } = frame;
  const view = viewOf(payload);
  if (payload.length < 8) throw badFrame('VERDICT is too short');
  const accepted = view.getUint16(0, true);
  const kind = kinds[view.getUint8(2)];
  const finished = view.getUint8(3);
  const hops = view.getUint16(4, true);
  const top = view.getUint16(6, true);
  if (kind === undefined) throw badFrame(`verdict kind ${view.getUint8(2)} is unknown`);
  if (finished > 1) throw badFrame('finished must be 0 or 1');
  checkHops(hops);
  checkTop(top);
  const withLogprobs = (flags & logprobsFlag) !== 0;
  const withLeniency = (flags & leniencyFlag) !== 0;
  if (top > 0 && !withLogprobs) throw badFrame('a VERDICT without logprobs has no alternatives');
  const timingsAt = 8 + 4 * count;
  const leniencyAt = timingsAt + timingBytes * hops;
  const logprobsAt = leniencyAt + (withLeniency ? leniencyBytes : 0);
  const end = logprobsAt + (withLogprobs ? logprobBytes(count, top) : 0);
  if (payload.length !== end) throw badFrame('VERDICT is not as long as its counts say');
  // An answer that ends at an accepted eos has no token after it.
  const whole = accepted + 1 === count || (finished === 1 && accepted === count);
  if (!whole) throw badFrame(`${accepted} accepted do not go with ${count} committed ids`);
  return {
    epoch: frame.epoch,
    round: frame.round,
    position: frame.position,
    accepted,
    kind,
    finished: finished === 1,
    ids: new Uint32Array(payload.buffer, payload.byteOffset + 8, count),
    timings: readTimings(view, timingsAt, hops),
    ...(withLeniency && { leniency: readLeniency(view, leniencyAt) }),
    ...(withLogprobs && { logprobs: readLogprobs(view, logprobsAt, count, top) }),
  };
}

function writeLeniency(view: DataView, offset: number, { judged, kept, distortion }: Leniency): void {
  view.setUint32(offset, judged, true);
  view.setUint32(offset + 4, kept, true);
  view.setFloat32(offset + 8, distortion, true);
}

function readLeniency(view: DataView, offset: number): Leniency {
  const judged = view.getUint32(offset, true);
  const kept = view.getUint32(offset + 4, true);
  const distortion = view.getFloat32(offset + 8, true);
  if (kept > judged || !(distortion >= 0 && distortion <= judged)) {
    throw badFrame(`${kept} kept with a distortion of ${distortion} do not go with ${judged} judged`);
  }
  return { judged, kept, distortion };
}

export function encodeScores(message: ScoresMessage): Uint8Array {
  const { timings, logprobs } = message;
  const rows = logprobs.own.length;
  const logprobsAt = 4 + timingBytes * timings.length;
  const bytes = allocateFrame(
    { ...message, type: 'scores', count: rows },
    logprobsAt + logprobBytes(rows, logprobs.top),
  );
  const view = new DataView(bytes.buffer, headerBytes);
  view.setUint16(0, logprobs.top, true);
  view.setUint16(2, timings.length, true);
  writeTimings(view, 4, timings);
  writeLogprobs(view, logprobsAt, logprobs);
  return bytes;
}

export function decodeScores(frame: Frame): ScoresMessage {
  const { payload, count } = frame;
  const view = viewOf(payload);
  if (payload.length < 4) throw badFrame('SCORES is too short');
  const top = view.getUint16(0, true);
  const hops = view.getUint16(2, true);
  checkHops(hops);
  checkTop(top);
  const logprobsAt = 4 + timingBytes * hops;
  if (payload.length !== logprobsAt + logprobBytes(count, top)) {
    throw badFrame('SCORES is not as long as its counts say');
  }
  return {
    epoch: frame.epoch,
    round: frame.round,
    position: frame.position,
    timings: readTimings(view, 4, hops),
    logprobs: readLogprobs(view, logprobsAt, count, top),
  };
}
