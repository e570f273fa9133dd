/** Writes small zip files (wheels) byte by byte, so that tests can also write ones that lie. */
import { crc32, deflateRawSync } from 'node:zlib';

export interface WheelMember {
  readonly name: string;
  readonly content: Uint8Array;
  readonly stored?: boolean;
  /** Fields that contradict the content. */
  readonly lie?: Partial<{
    method: number;
    flags: number;
    crc32: number;
    packedBytes: number;
    bytes: number;
    headerOffset: number;
    localName: string;
  }>;
}

export interface EndLie {
  readonly count?: number;
  readonly directoryBytes?: number;
  readonly directoryOffset?: number;
}

/** A zip of the members in order. */
export function writeWheel(members: readonly WheelMember[], lie: EndLie = {}): Uint8Array {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, content, stored = false, lie: memberLie = {} } of members) {
    const packed = stored ? Buffer.from(content) : deflateRawSync(content);
    const fields = {
      method: stored ? 0 : 8,
      flags: 0,
      crc32: crc32(content),
      packedBytes: packed.byteLength,
      bytes: content.byteLength,
      headerOffset: offset,
      ...memberLie,
    };
    const localName = Buffer.from(memberLie.localName ?? name);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(fields.method, 8);
    local.writeUInt16LE(localName.byteLength, 26);
    parts.push(local, localName, packed);
    offset += local.byteLength + localName.byteLength + packed.byteLength;

    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50, 0);
    entry.writeUInt16LE(fields.flags, 8);
    entry.writeUInt16LE(fields.method, 10);
    entry.writeUInt32LE(fields.crc32, 16);
    entry.writeUInt32LE(fields.packedBytes, 20);
    entry.writeUInt32LE(fields.bytes, 24);
    entry.writeUInt16LE(Buffer.byteLength(name), 28);
    entry.writeUInt32LE(fields.headerOffset, 42);
    directory.push(entry, Buffer.from(name));
  }
  const directoryBytes = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(lie.count ?? members.length, 8);
  end.writeUInt16LE(lie.count ?? members.length, 10);
  end.writeUInt32LE(lie.directoryBytes ?? directoryBytes.byteLength, 12);
  end.writeUInt32LE(lie.directoryOffset ?? offset, 16);
  return Buffer.concat([...parts, directoryBytes, end]);
}
