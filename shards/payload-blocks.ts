/**
 * Blocks that several payloads share: stage timings, log-probabilities, sparse draft probabilities. Writers trust their
 * caller, readers check every count before they look behind it. All offsets are multiples of 4.
 */
import { draftPairsMax, type SparseProbs } from './draft-probs.ts';
import { badFrame, hopsMax, timingBytes } from './frame.ts';
import { type LogprobRows, logprobsTopMax } from './logprobs.ts';

/** What one stage spent on a frame: durations only, since clocks of machines differ. */
export interface StageTiming {
  readonly queueUs: number;
  /** Of the pass that the frame was part of, whoever else was. */
  readonly runUs: number;
  /** Rows of that pass, those of other sessions included: what runUs is a cost of. */
  readonly passRows: number;
  readonly passSessions: number;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

export function writeTimings(view: DataView, offset: number, timings: readonly StageTiming[]): void {
  for (const [index, { queueUs, runUs, passRows, passSessions }] of timings.entries()) {
    const at = offset + timingBytes * index;
    view.setUint32(at, clampU32(queueUs), true);
    view.setUint32(at + 4, clampU32(runUs), true);
    view.setUint16(at + 8, passRows, true);
    view.setUint16(at + 10, passSessions, true);
  }
}

/** The caller has checked that the payload holds them. Throws bad_frame for a pass of fewer rows than sessions. */
export function readTimings(view: DataView, offset: number, hops: number): StageTiming[] {
  const timings: StageTiming[] = [];
  for (let hop = 0; hop < hops; hop++) {
    const at = offset + timingBytes * hop;
    const passRows = view.getUint16(at + 8, true);
    const passSessions = view.getUint16(at + 10, true);
    if (passSessions < 1 || passSessions > passRows) {
      throw badFrame(`a pass of ${passRows} rows is none of ${passSessions} sessions`);
    }
    const queueUs = view.getUint32(at, true);
    timings.push({ queueUs, runUs: view.getUint32(at + 4, true), passRows, passSessions });
  }
  return timings;
}

export function checkHops(hops: number): void {
  if (hops > hopsMax) throw badFrame(`${hops} hops are above ${hopsMax}`);
}

function clampU32(value: number): number {
  return Math.min(0xffffffff, Math.max(0, Math.round(value)));
}

/** f32 own [rows], u32 ids [rows, top], f32 logprobs [rows, top]. */
export function logprobBytes(rows: number, top: number): number {
  return 4 * rows + 8 * rows * top;
}

export function writeLogprobs(
  view: DataView,
  offset: number,
  { own, topIds, topLogprobs }: LogprobRows,
): void {
  own.forEach((value, i) => void view.setFloat32(offset + 4 * i, value, true));
  const idsAt = offset + 4 * own.length;
  topIds.forEach((id, i) => void view.setUint32(idsAt + 4 * i, id, true));
  const valuesAt = idsAt + 4 * topIds.length;
  topLogprobs.forEach((value, i) => void view.setFloat32(valuesAt + 4 * i, value, true));
}

export function readLogprobs(view: DataView, offset: number, rows: number, top: number): LogprobRows {
  const idsAt = offset + 4 * rows;
  const valuesAt = idsAt + 4 * rows * top;
  const logprobsFrom = (start: number, length: number): Float32Array =>
    Float32Array.from({ length }, (_, i) => checkedLogprob(view.getFloat32(start + 4 * i, true)));
  return {
    top,
    own: logprobsFrom(offset, rows),
    topIds: Uint32Array.from({ length: rows * top }, (_, i) => view.getUint32(idsAt + 4 * i, true)),
    topLogprobs: logprobsFrom(valuesAt, rows * top),
  };
}

function checkedLogprob(value: number): number {
  if (Number.isFinite(value) && value <= 0) return value;
  throw badFrame(`${value} is no log-probability`);
}

export function checkTop(top: number): void {
  if (top > logprobsTopMax) throw badFrame(`${top} alternatives are above ${logprobsTopMax}`);
}

const upTo4 = (bytes: number): number => (bytes + 3) & ~3;

function pairsIn(rows: readonly SparseProbs[]): number {
  return rows.reduce((sum, { ids }) => sum + ids.length, 0);
}

/** u16 pairs per row, filled up to 4; u32 ids of all rows; f16 probabilities of all rows, filled up to 4. */
export function draftProbsBytes(rows: readonly SparseProbs[]): number {
  const pairs = pairsIn(rows);
  return upTo4(2 * rows.length) + 4 * pairs + upTo4(2 * pairs);
}

export function writeDraftProbs(view: DataView, offset: number, rows: readonly SparseProbs[]): void {
  let idAt = offset + upTo4(2 * rows.length);
  let probAt = idAt + 4 * pairsIn(rows);
  for (const [row, { ids, probs }] of rows.entries()) {
    view.setUint16(offset + 2 * row, ids.length, true);
    for (const [i, id] of ids.entries()) {
      view.setUint32(idAt, id, true);
      view.setFloat16(probAt, probs[i]!, true);
      idAt += 4;
      probAt += 2;
    }
  }
}

/** Probabilities for each of the draft's ids. Throws bad_frame, also where a drafted id has none. */
export function readDraftProbs(
  view: DataView,
  offset: number,
  draft: Uint32Array,
): { readonly rows: SparseProbs[]; readonly bytes: number } {
  const counts: number[] = [];
  const idsAt = offset + upTo4(2 * draft.length);
  if (idsAt > view.byteLength) throw badFrame('draft probabilities are cut off');
  for (let row = 0; row < draft.length; row++) {
    const count = view.getUint16(offset + 2 * row, true);
    if (count < 1 || count > draftPairsMax) throw badFrame(`${count} pairs are not in 1..${draftPairsMax}`);
    counts.push(count);
  }
  const pairs = counts.reduce((sum, count) => sum + count, 0);
  const bytes = upTo4(2 * draft.length) + 4 * pairs + upTo4(2 * pairs);
  if (offset + bytes > view.byteLength) throw badFrame('draft probabilities are cut off');
  let idAt = idsAt;
  let probAt = idsAt + 4 * pairs;
  const rows = counts.map((count, row) => {
    const ids = Uint32Array.from({ length: count }, (_, i) => view.getUint32(idAt + 4 * i, true));
    const probs = Float32Array.from({ length: count }, (_, i) => view.getFloat16(probAt + 2 * i, true));
    idAt += 4 * count;
    probAt += 2 * count;
    checkPairs(ids, probs, draft[row]!);
    return { ids, probs };
  });
  return { rows, bytes };
}

function checkPairs(ids: Uint32Array, probs: Float32Array, drafted: number): void {
  if (!probs.every((prob) => prob > 0 && prob <= 1)) throw badFrame('a draft probability is not in (0, 1]');
  if (new Set(ids).size < ids.length) throw badFrame('an id has two draft probabilities');
  if (!ids.includes(drafted)) throw badFrame(`the drafted id ${drafted} has no probability`);
}
