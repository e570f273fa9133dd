/**
 * Payloads of the binary frames and of CLOSE and ERROR, both directions; the two OPENs are in open-message.ts.
 * Encoders trust their caller, decoders trust nobody: sizes must match to the byte, else ShardError bad_frame.
 * Layouts are tables in docs/protocol.md.
 */
import { ShardError, type ShardErrorCode, shardErrorCodes } from './errors.ts';
import { allocateFrame, badFrame, errorBytesMax, type Frame, headerBytes, hopsMax } from './frame.ts';
import { integer, object, oneOf, readJson, record, text } from './json-reader.ts';
import type { Verdict } from './verify.ts';

/** What one stage spent on a frame, in microseconds: durations only, since clocks of machines differ. */
export interface StageTiming {
  readonly queueUs: number;
  readonly runUs: number;
}

/** FORWARD: rows to run. */
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
}

/** VERDICT: a tail's answer to one FORWARD, whose epoch and round it repeats. */
export interface VerdictMessage extends Verdict {
  readonly epoch: number;
  readonly round: number;
  /** Index of the first committed id in its sequence: position + headFrom + 1 of the FORWARD. */
  readonly position: number;
  /** One per stage, the tail last. */
  readonly timings: readonly StageTiming[];
}

/** `keep` leaves the cache to be adopted until it is evicted, `free` gives its memory back. */
export type CloseMode = 'keep' | 'free';

export interface ErrorMessage {
  /** Frame that the error is about; 0, 0 when it is about none. */
  readonly epoch: number;
  readonly round: number;
  readonly error: ShardError;
  /** Worker at fault, counted from the one at the far end of the stream that brought the error. */
  readonly hop: number;
}

export function encodeForward(message: ForwardMessage): Uint8Array {
  const { ids, hidden, timings } = message;
  const idBytes = 4 * ids.length;
  const payloadBytes = 4 + idBytes + 8 * timings.length + (hidden === null ? 0 : 4 * hidden.length);
  const bytes = allocateFrame({ ...message, type: 'forward', count: ids.length }, payloadBytes);
  const view = new DataView(bytes.buffer, headerBytes);
  view.setUint16(0, message.headFrom, true);
  view.setUint16(2, timings.length, true);
  new Uint32Array(bytes.buffer, headerBytes + 4, ids.length).set(ids);
  writeTimings(view, 4 + idBytes, timings);
  if (hidden !== null) {
    const offset = headerBytes + 4 + idBytes + 8 * timings.length;
    new Float32Array(bytes.buffer, offset, hidden.length).set(hidden);
  }
  return bytes;
}

/** hidden is checked to be [rows, some width]; whose width it must be is the receiver's to know. */
export function decodeForward(frame: Frame): ForwardMessage {
  const { payload, count } = frame;
  const view = viewOf(payload);
  if (payload.length < 4 + 4 * count) throw badFrame('FORWARD is shorter than its ids');
  const headFrom = view.getUint16(0, true);
  const hops = view.getUint16(2, true);
  if (headFrom > count) throw badFrame(`headFrom ${headFrom} is above the ${count} rows`);
  if (hops > hopsMax) throw badFrame(`${hops} hops are above ${hopsMax}`);
  const hiddenAt = 4 + 4 * count + 8 * hops;
  const hiddenBytes = payload.length - hiddenAt;
  if (hiddenBytes < 0 || hiddenBytes % (4 * count) !== 0) {
    throw badFrame('FORWARD is neither ids alone nor ids with whole rows');
  }
  return {
    epoch: frame.epoch,
    round: frame.round,
    position: frame.position,
    headFrom,
    ids: new Uint32Array(payload.buffer, payload.byteOffset + 4, count),
    hidden:
      hiddenBytes === 0
        ? null
        : new Float32Array(payload.buffer, payload.byteOffset + hiddenAt, hiddenBytes / 4),
    timings: readTimings(view, 4 + 4 * count, hops),
  };
}

const kinds = ['recovered', 'bonus'] as const;

export function encodeVerdict(message: VerdictMessage): Uint8Array {
  const { ids, timings } = message;
  const payloadBytes = 8 + 4 * ids.length + 8 * timings.length;
  const bytes = allocateFrame({ ...message, type: 'verdict', count: ids.length }, payloadBytes);
  const view = new DataView(bytes.buffer, headerBytes);
  view.setUint16(0, message.accepted, true);
  view.setUint8(2, kinds.indexOf(message.kind));
  view.setUint8(3, message.finished ? 1 : 0);
  view.setUint16(4, timings.length, true);
  new Uint32Array(bytes.buffer, headerBytes + 8, ids.length).set(ids);
  writeTimings(view, 8 + 4 * ids.length, timings);
  return bytes;
}

export function decodeVerdict(frame: Frame): VerdictMessage {
  const { payload, count } = frame;
  const view = viewOf(payload);
  if (payload.length < 8) throw badFrame('VERDICT is too short');
  const accepted = view.getUint16(0, true);
  const kind = kinds[view.getUint8(2)];
  const finished = view.getUint8(3);
  const hops = view.getUint16(4, true);
  if (kind === undefined) throw badFrame(`verdict kind ${view.getUint8(2)} is unknown`);
  if (finished > 1) throw badFrame('finished must be 0 or 1');
  if (view.getUint16(6, true) !== 0) throw badFrame('reserved bytes of VERDICT must be 0');
  if (hops > hopsMax) throw badFrame(`${hops} hops are above ${hopsMax}`);
  if (payload.length !== 8 + 4 * count + 8 * hops) throw badFrame('VERDICT is not as long as its counts say');
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
    timings: readTimings(view, 8 + 4 * count, hops),
  };
}

const closeModes = ['keep', 'free'] as const;

export function encodeClose(mode: CloseMode): Uint8Array {
  const bytes = allocateFrame({ type: 'close', epoch: 0, round: 0, position: 0, count: 0 }, 4);
  bytes[headerBytes] = closeModes.indexOf(mode);
  return bytes;
}

export function decodeClose({ payload }: Frame): CloseMode {
  const mode = payload.length === 4 ? closeModes[viewOf(payload).getUint32(0, true)] : undefined;
  if (mode === undefined) throw badFrame('CLOSE must say keep (0) or free (1)');
  return mode;
}

/** Characters of an error message on the wire: a sentence that says what to do. */
const errorMessageMax = 1000;
/** Entries of `detail` and characters of each. */
const detailKeysMax = 16;
const detailValueMax = 200;

const readError = object<{
  code: ShardErrorCode;
  message: string;
  detail: Record<string, number | string>;
  hop: number;
}>({
  code: oneOf(Object.keys(shardErrorCodes) as ShardErrorCode[]),
  message: text(errorMessageMax),
  detail: record(detailKeysMax, detailValueMax),
  hop: integer(0, hopsMax),
});

export function encodeError({ epoch, round, error, hop }: ErrorMessage): Uint8Array {
  const json = {
    code: error.code,
    message: error.message.slice(0, errorMessageMax),
    detail: Object.fromEntries(
      Object.entries(error.detail)
        .slice(0, detailKeysMax)
        // JSON has no NaN: such a number travels as its name.
        .map(([key, value]) => [
          key,
          Number.isFinite(value) ? value : String(value).slice(0, detailValueMax),
        ]),
    ),
    hop,
  };
  const payload = encodeJson(json);
  // Escapes can blow a message up sixfold; then the code alone has to do.
  const fits =
    payload.length <= errorBytesMax ? payload : encodeJson({ ...json, message: error.code, detail: {} });
  const bytes = allocateFrame({ type: 'error', epoch, round, position: 0, count: 0 }, fits.length);
  bytes.set(fits, headerBytes);
  return bytes;
}

export function decodeError(frame: Frame): ErrorMessage {
  const { code, message, detail, hop } = readJson(frame.payload, readError, 'ERROR');
  return { epoch: frame.epoch, round: frame.round, error: new ShardError(code, message, { detail }), hop };
}

const utf8 = new TextEncoder();

/** JSON bytes filled up with spaces to a multiple of 4. */
export function encodeJson(value: unknown): Uint8Array {
  const json = JSON.stringify(value);
  const short = utf8.encode(json).length % 4;
  return utf8.encode(short === 0 ? json : json + ' '.repeat(4 - short));
}

function writeTimings(view: DataView, offset: number, timings: readonly StageTiming[]): void {
  for (const [index, { queueUs, runUs }] of timings.entries()) {
    view.setUint32(offset + 8 * index, clampU32(queueUs), true);
    view.setUint32(offset + 8 * index + 4, clampU32(runUs), true);
  }
}

function readTimings(view: DataView, offset: number, hops: number): StageTiming[] {
  const timings: StageTiming[] = [];
  for (let hop = 0; hop < hops; hop++) {
    const at = offset + 8 * hop;
    timings.push({ queueUs: view.getUint32(at, true), runUs: view.getUint32(at + 4, true) });
  }
  return timings;
}

function clampU32(value: number): number {
  return Math.min(0xffffffff, Math.max(0, Math.round(value)));
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
