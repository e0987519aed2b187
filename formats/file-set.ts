/** The opened files of one model: a single file, or its shards. Owns their readers; both formats read through it. */
import { InvalidArgumentError } from '../engine/errors.ts';
import { FileRangeReader } from './file-range-reader.ts';
import type { StoredTensor } from './tensor-file.ts';

/** One file of a model. */
export interface Shard {
  readonly path: string;
  readonly byteLength: number;
}

export class FileSet {
  readonly #readers = new Map<string, FileRangeReader>();

  /** The file's reader, opened on first use.
   * @throws what `FileRangeReader.open` throws. */
  async open(path: string): Promise<FileRangeReader> {
    const known = this.#readers.get(path);
    if (known !== undefined) return known;
    const reader = await FileRangeReader.open(path);
    this.#readers.set(path, reader);
    return reader;
  }

  get shards(): readonly Shard[] {
    return [...this.#readers.values()].map(({ path, byteLength }) => ({ path, byteLength }));
  }

  get numBytesRead(): number {
    let total = 0;
    for (const reader of this.#readers.values()) total += reader.numBytesRead;
    return total;
  }

  /** See `TensorFile.read`. */
  async read(tensor: StoredTensor, byteOffset: number, target: Uint8Array): Promise<void> {
    const reader = this.#readers.get(tensor.file);
    if (reader === undefined) {
      throw new InvalidArgumentError(
        'tensor',
        `${tensor.name} lies in ${tensor.file}, which is not part of this model`,
      );
    }
    if (!Number.isSafeInteger(byteOffset) || byteOffset < 0 || byteOffset + target.byteLength > tensor.byteLength) {
      const range = `bytes ${byteOffset} to ${byteOffset + target.byteLength}`;
      throw new InvalidArgumentError('byteOffset', `${range} leave ${tensor.name}, which has ${tensor.byteLength}`);
    }
    await reader.read(tensor.byteOffset + byteOffset, target, tensor.name);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#readers.values()].map((reader) => reader.close()));
  }
}
