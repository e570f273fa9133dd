/**
 * Reads the header of a GGUF file forward through a small window: little-endian scalars, strings and counts.
 * Nothing is allocated or believed before it was compared with its limit and with what the file still holds.
 * All methods throw ModelFileError (truncated, limit, corrupt); `field` says in messages what was being read.
 */
import type { FileHandle } from 'node:fs/promises';
import { ModelFileError } from './model-file-error.ts';

/** A vocabulary of 262,144 tokens with scores and merges takes 16 MiB; four times that is room enough. */
const MAX_HEADER_BYTES = 64 * 1024 * 1024;
/** One read of the file: few calls for a header of some MiB, little waste for a small one. */
const WINDOW_BYTES = 256 * 1024;
/** Longest string value: a whole tokenizer.json inside the file is the largest seen (20 MB). */
const MAX_STRING_BYTES = 32 * 1024 * 1024;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export class HeaderCursor {
  readonly path: string;
  readonly sizeBytes: number;
  readonly #file: FileHandle;
  #window: Buffer = Buffer.alloc(0);
  /** Where the window starts in the file, and the next byte to read within the window. */
  #windowStart = 0;
  #next = 0;

  constructor(file: FileHandle, path: string, sizeBytes: number) {
    this.#file = file;
    this.path = path;
    this.sizeBytes = sizeBytes;
  }

  /** Absolute offset of the next byte. */
  get offset(): number {
    return this.#windowStart + this.#next;
  }

  /** Bytes of the file from here on. */
  get left(): number {
    return this.sizeBytes - this.offset;
  }

  /** Are so many bytes in the window, so that `take` may be called? */
  holds(bytes: number): boolean {
    return this.#window.length - this.#next >= bytes;
  }

  /** Moves the window to the next byte and makes sure that it holds `bytes`. */
  async fill(bytes: number, field: string): Promise<void> {
    if (bytes > this.left) {
      throw this.error(
        'truncated',
        field,
        `the file ends at byte ${this.sizeBytes}, ${bytes} bytes are needed`,
      );
    }
    const start = this.offset;
    if (start + bytes > MAX_HEADER_BYTES) {
      throw this.error('limit', field, `the header is longer than ${MAX_HEADER_BYTES} bytes`);
    }
    const window = Buffer.alloc(Math.min(Math.max(bytes, WINDOW_BYTES), this.sizeBytes - start));
    let filled = 0;
    while (filled < window.length) {
      const { bytesRead } = await this.#file.read(window, filled, window.length - filled, start + filled);
      if (bytesRead === 0) throw this.error('truncated', field, 'the file became shorter while it was read');
      filled += bytesRead;
    }
    this.#window = window;
    this.#windowStart = start;
    this.#next = 0;
  }

  /** The next `bytes` bytes as a view; they must be held. */
  take(bytes: number): Buffer {
    const view = this.#window.subarray(this.#next, this.#next + bytes);
    this.#next += bytes;
    return view;
  }

  async u32(field: string): Promise<number> {
    if (!this.holds(4)) await this.fill(4, field);
    this.#next += 4;
    return this.#window.readUInt32LE(this.#next - 4);
  }

  async u64(field: string): Promise<bigint> {
    if (!this.holds(8)) await this.fill(8, field);
    this.#next += 8;
    return this.#window.readBigUInt64LE(this.#next - 8);
  }

  /**
   * A 64-bit count of things that take at least `bytesEach` bytes each in the rest of the file: checked against
   * `max` and against the rest of the file.
   */
  async count(field: string, max: number, bytesEach: number): Promise<number> {
    if (!this.holds(8)) await this.fill(8, field);
    // Compared before it becomes a number that anything is sized by; rounding above 2^53 cannot lower it to max.
    const count = this.#window.readUInt32LE(this.#next) + this.#window.readUInt32LE(this.#next + 4) * 2 ** 32;
    if (count > max) throw this.error('limit', field, `count ${count} is above the limit of ${max}`);
    this.#next += 8;
    if (count * bytesEach > this.left) {
      const needed = `${count} entries of at least ${bytesEach} bytes`;
      throw this.error('truncated', field, `${needed} cannot be in the ${this.left} bytes that follow`);
    }
    return count;
  }

  /** A length-prefixed UTF-8 string. */
  async string(field: string, maxBytes: number = MAX_STRING_BYTES): Promise<string> {
    const length = await this.count(field, maxBytes, 1);
    if (!this.holds(length)) await this.fill(length, field);
    try {
      return utf8.decode(this.take(length));
    } catch (cause) {
      throw this.error('corrupt', field, `a string of ${length} bytes is not UTF-8`, { cause });
    }
  }

  /** An error about this place in the file. */
  error(
    code: ModelFileError['code'],
    field: string,
    what: string,
    options?: { cause: unknown },
  ): ModelFileError {
    return new ModelFileError(code, `${this.path}: ${field}: ${what} (at byte ${this.offset})`, options);
  }
}
