/**
 * The frame: a 24-byte little-endian header and a payload whose length is a multiple of 4. Every message between
 * gateway and workers is one frame on a long-lived HTTP/2 stream (docs/protocol.md). The decoder takes any split of
 * chunks and any bytes: what is not a frame of this version within the limits is ShardError bad_frame, never a crash.
 * A peer pays for memory with bytes that it sent: nothing is allocated on the word of a header alone.
 */
import { endianness } from 'node:os';
import { draftPairsMax, draftProbsRowsMax } from './draft-probs.ts';
import { ShardError } from './errors.ts';
import { logprobsTopMax } from './logprobs.ts';

export const protocolVersion = 2;
export const headerBytes = 24;

/** Rows of one frame: eight prefill chunks of 64; more would only delay the next stage. */
export const frameRowsMax = 512;
/** Prompt tokens that one frame may ask log-probabilities of: their logits are 64 rows of the whole vocabulary. */
export const scoreRowsMax = 64;
/** Stages that a route may have: more than any model worth sharing has layer groups. */
export const hopsMax = 64;
/** What one stage tells of a frame: u32 queue and u32 engine time, u16 rows and u16 sessions of the pass. */
export const timingBytes = 12;
/** Index of a token in its sequence: 16 times the longest context in use today. */
export const positionMax = 2 ** 24;
/** JSON of an OPEN: 64 hops with tokens of 400 characters are 35 KB; a grammar of 64 K characters doubles as JSON. */
export const openBytesMax = 192 * 1024;
/** JSON of an ERROR: a message and a few numbers. */
export const errorBytesMax = 8 * 1024;
/** Hidden rows of the widest model (16,384) in the longest frame. A worker's own decoder is tighter, see forwardBytesMax. */
export const hiddenWidthMax = 16_384;

export const frameTypes = { open: 1, forward: 2, verdict: 3, close: 4, error: 5, scores: 6 } as const;
export type FrameType = keyof typeof frameTypes;
const typeNames = new Map<number, FrameType>(
  Object.entries(frameTypes).map(([name, code]) => [code, name as FrameType]),
);

export interface FrameHeader {
  readonly type: FrameType;
  /** What the payload holds besides; each type has its own bits, all others are 0. */
  readonly flags: number;
  readonly epoch: number;
  readonly round: number;
  readonly position: number;
  /** Ids in the payload. */
  readonly count: number;
  /** 0 but for hedging, which this version does not have. */
  readonly chain: number;
}

export interface Frame extends FrameHeader {
  /** Owned by the frame and 8-aligned, so that typed arrays can view it. */
  readonly payload: Uint8Array;
}

// Ids and hidden rows are viewed in place; a big-endian machine would need copies that nobody has asked for.
if (endianness() !== 'LE') throw new Error('foretoken needs a little-endian machine');

/** Sparse draft probabilities: counts, u32 ids and f16 values, each filled up to 4. */
const draftProbsBytesMax = draftProbsRowsMax * (2 + 6 * draftPairsMax);

/** Largest FORWARD payload for hidden rows [frameRowsMax, hiddenWidth]. */
function forwardBytesMax(hiddenWidth: number): number {
  return 4 + 4 * frameRowsMax + timingBytes * hopsMax + draftProbsBytesMax + 4 * frameRowsMax * hiddenWidth;
}

/** Own and alternative log-probabilities of one token. */
const logprobsBytesMax = 4 + 8 * logprobsTopMax;
const verdictBytesMax = 8 + 4 * frameRowsMax + timingBytes * hopsMax + 12 + frameRowsMax * logprobsBytesMax;
const scoresBytesMax = 4 + timingBytes * hopsMax + scoreRowsMax * logprobsBytesMax;

/** A whole frame with its header written and a payload of zeros, to be filled from `headerBytes` on. */
export function allocateFrame(
  header: Omit<FrameHeader, 'flags' | 'chain'> & { readonly flags?: number },
  payloadBytes: number,
): Uint8Array {
  const bytes = new Uint8Array(headerBytes + payloadBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, payloadBytes, true);
  view.setUint8(4, protocolVersion);
  view.setUint8(5, frameTypes[header.type]);
  view.setUint16(6, header.flags ?? 0, true);
  view.setUint32(8, header.epoch, true);
  view.setUint32(12, header.round, true);
  view.setUint32(16, header.position, true);
  view.setUint16(20, header.count, true);
  return bytes;
}

/**
 * A smaller chunk behind others is copied to them: a view of a byte takes a hundred, and a peer that sends bytes one by one
 * would have memory for a hundredth of its price.
 */
const partBytesMin = 1024;
/** Where such chunks are gathered. */
const gatheredBytes = 4096;

export interface FrameDecoder {
  /** Calls back for every frame that is complete by now. Throws ShardError bad_frame, then and on any later call. */
  push(chunk: Uint8Array, onFrame: (frame: Frame) => void): void;
}

/** `hiddenWidth` bounds FORWARD payloads: the width of the rows that this stream may carry, 0 for none. */
export function createFrameDecoder(hiddenWidth: number): FrameDecoder {
  let parts: Uint8Array[] = [];
  let held = 0;
  /** Small chunks; its filled end is the last part, if that is one of them. */
  let gathered = new Uint8Array(0);
  let current: { header: FrameHeader; payloadBytes: number } | null = null;
  let failure: ShardError | null = null;

  function hold(chunk: Uint8Array): void {
    held += chunk.length;
    const last = parts.at(-1);
    if (last === undefined || chunk.length >= partBytesMin) {
      parts.push(chunk);
      return;
    }
    const isGathered = last.buffer === gathered.buffer;
    const end = isGathered ? last.byteOffset + last.length : gathered.length;
    if (end + chunk.length <= gathered.length) {
      gathered.set(chunk, end);
      parts[parts.length - 1] = gathered.subarray(last.byteOffset, end + chunk.length);
      return;
    }
    gathered = new Uint8Array(gatheredBytes);
    gathered.set(chunk);
    parts.push(gathered.subarray(0, chunk.length));
  }

  /** The next `bytes` of what is held, as one owned array. */
  function take(bytes: number): Uint8Array {
    const taken = new Uint8Array(bytes);
    let filled = 0;
    let used = 0;
    for (; filled < bytes; used++) {
      const part = parts[used]!;
      const wanted = Math.min(part.length, bytes - filled);
      taken.set(part.subarray(0, wanted), filled);
      filled += wanted;
      if (wanted < part.length) {
        parts[used] = part.subarray(wanted);
        break;
      }
    }
    parts = parts.slice(used);
    held -= bytes;
    return taken;
  }

  function push(chunk: Uint8Array, onFrame: (frame: Frame) => void): void {
    if (failure !== null) throw failure;
    if (chunk.length > 0) hold(chunk);
    while (true) {
      if (current === null) {
        if (held < headerBytes) return;
        try {
          current = parseHeader(take(headerBytes), hiddenWidth);
        } catch (error) {
          failure = error as ShardError;
          parts = [];
          throw error;
        }
      }
      if (held < current.payloadBytes) return;
      const frame = { ...current.header, payload: take(current.payloadBytes) };
      current = null;
      onFrame(frame);
    }
  }

  return { push };
}

function parseHeader(bytes: Uint8Array, hiddenWidth: number): { header: FrameHeader; payloadBytes: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const payloadBytes = view.getUint32(0, true);
  const version = bytes[4]!;
  const type = typeNames.get(bytes[5]!);
  const header = {
    flags: view.getUint16(6, true),
    epoch: view.getUint32(8, true),
    round: view.getUint32(12, true),
    position: view.getUint32(16, true),
    count: view.getUint16(20, true),
    chain: view.getUint16(22, true),
  };
  if (version !== protocolVersion) throw badFrame(`version ${version}, this end speaks ${protocolVersion}`);
  if (type === undefined) throw badFrame(`unknown type ${bytes[5]}`);
  if (header.chain !== 0) throw badFrame(`chain ${header.chain} is reserved`);
  if (header.position > positionMax) throw badFrame(`position ${header.position} is above ${positionMax}`);
  const bounds = boundsOf(type, hiddenWidth);
  if ((header.flags & ~bounds.flags) !== 0) throw badFrame(`flags ${header.flags} of ${type} are reserved`);
  if (header.count < bounds.countMin || header.count > bounds.countMax) {
    throw badFrame(`count ${header.count} of ${type} is not in ${bounds.countMin}..${bounds.countMax}`);
  }
  if (payloadBytes % 4 !== 0) throw badFrame(`length ${payloadBytes} is not a multiple of 4`);
  if (payloadBytes > bounds.bytesMax) {
    throw badFrame(`length ${payloadBytes} of ${type} is above ${bounds.bytesMax}`);
  }
  return { header: { type, ...header }, payloadBytes };
}

interface FrameBounds {
  /** Flags that the type knows. */
  readonly flags: number;
  readonly countMin: number;
  readonly countMax: number;
  readonly bytesMax: number;
}

function boundsOf(type: FrameType, hiddenWidth: number): FrameBounds {
  switch (type) {
    case 'open':
      return { flags: 0, countMin: 0, countMax: 0, bytesMax: openBytesMax };
    case 'forward':
      return { flags: 3, countMin: 1, countMax: frameRowsMax, bytesMax: forwardBytesMax(hiddenWidth) };
    case 'verdict':
      return { flags: 3, countMin: 1, countMax: frameRowsMax, bytesMax: verdictBytesMax };
    case 'close':
      return { flags: 0, countMin: 0, countMax: 0, bytesMax: 4 };
    case 'error':
      return { flags: 0, countMin: 0, countMax: 0, bytesMax: errorBytesMax };
    case 'scores':
      return { flags: 0, countMin: 1, countMax: scoreRowsMax, bytesMax: scoresBytesMax };
  }
}

export function badFrame(what: string): ShardError {
  return new ShardError('bad_frame', `not a frame of this protocol: ${what}`);
}
