/**
 * CLOSE and ERROR, which end a session or say why it cannot go on. FORWARD, VERDICT, SCORES and the two OPENs have files
 * of their own. Decoders trust nobody: what is not such a message is ShardError bad_frame.
 */
import { ShardError, type ShardErrorCode, shardErrorCodes } from './errors.ts';
import { allocateFrame, badFrame, errorBytesMax, type Frame, headerBytes, hopsMax } from './frame.ts';
import { integer, object, oneOf, readJson, record, text } from './json-reader.ts';
import { viewOf } from './payload-blocks.ts';

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
