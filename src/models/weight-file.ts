/**
 * The external-data file of a shard while it is written: tensors one after the other, each at a multiple of the page
 * size, so that the runtime can map it. Invariant: `sha256` covers every byte written so far, padding included.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import type { ElementType, ExternalTensor } from './onnx-writer.ts';

/** What the runtime needs to map a tensor instead of copying it. */
const alignmentBytes = 4096;

export class WeightFile {
  readonly #handle: FileHandle;
  readonly #hash = createHash('sha256');
  /** Name by which graphs refer to this file. */
  readonly #name: string;
  #bytes = 0;

  private constructor(handle: FileHandle, name: string) {
    this.#handle = handle;
    this.#name = name;
  }

  /** Creates or empties `path`; graphs will know it as `name` in their own folder. */
  static async open(path: string, name: string): Promise<WeightFile> {
    return new WeightFile(await open(path, 'w'), name);
  }

  /** Writes one tensor; `data` holds exactly the product of `shape` elements. */
  async append(
    type: ElementType,
    shape: readonly number[],
    data: Uint8Array | Float32Array,
  ): Promise<ExternalTensor> {
    const padding = (alignmentBytes - (this.#bytes % alignmentBytes)) % alignmentBytes;
    if (padding > 0) await this.#write(new Uint8Array(padding));
    const offset = this.#bytes;
    await this.#write(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    return { type, shape, file: this.#name, offset, bytes: data.byteLength };
  }

  /** Flushes to the disk. */
  async finish(): Promise<{ bytes: number; sha256: string }> {
    await this.#handle.sync();
    return { bytes: this.#bytes, sha256: this.#hash.digest('hex') };
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      done += (await this.#handle.write(bytes, done, bytes.length - done)).bytesWritten;
    }
    this.#hash.update(bytes);
    this.#bytes += bytes.length;
  }
}
