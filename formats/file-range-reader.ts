/** Reads byte ranges of one file. Owns the file handle and the mapping of system errors to Quern's; knows no format. */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { FileAccessError, InvalidArgumentError } from '../engine/errors.ts';
import { formatFailure } from './format-failure.ts';

/** Most bytes asked of the system in one call: Linux transfers at most 2^31 - 4096 bytes per read (man 2 read). */
const MAX_READ_BYTES = 2 ** 30;

/** Without this flag, opening a named pipe waits for a writer, for ever. For a regular file it changes nothing. */
const NON_BLOCKING = constants.O_NONBLOCK ?? 0;

export class FileRangeReader {
  readonly path: string;
  /** The file's size when it was opened. Every count in the file is checked against it. */
  readonly byteLength: number;
  readonly #handle: FileHandle;
  #numBytesRead = 0;
  #closed = false;

  private constructor(path: string, byteLength: number, handle: FileHandle) {
    this.path = path;
    this.byteLength = byteLength;
    this.#handle = handle;
  }

  /** @throws FileAccessError when there is no such file or it may not be read,
   *  FormatError when it is a folder, a pipe or a device, or holds no bytes. */
  static async open(path: string): Promise<FileRangeReader> {
    let handle: FileHandle;
    try {
      handle = await open(path, constants.O_RDONLY | NON_BLOCKING);
    } catch (error) {
      throw openingError(path, error);
    }
    try {
      const stat = await handle.stat();
      const where = { file: path, byteOffset: 0, field: 'file' };
      if (stat.isDirectory()) throw formatFailure(where, 'is a folder, not a model file');
      if (!stat.isFile()) throw formatFailure(where, 'is not a regular file (a pipe, socket or device)');
      if (stat.size === 0) throw formatFailure(where, 'is empty');
      return new FileRangeReader(path, stat.size, handle);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** Bytes handed out so far. Lets a test see that a header costs a header, not the file. */
  get numBytesRead(): number {
    return this.#numBytesRead;
  }

  /** Fills `target` with the bytes from `byteOffset`. `target` may view shared memory.
   * @param field  what is being read, for the message
   * @throws FormatError when the range leaves the file, the file has shrunk, or the disk fails. */
  async read(byteOffset: number, target: Uint8Array, field: string): Promise<void> {
    if (this.#closed) throw new InvalidArgumentError('file', `${this.path} is closed`);
    const where = { file: this.path, byteOffset, field };
    if (byteOffset + target.byteLength > this.byteLength) {
      const bytesLeft = Math.max(0, this.byteLength - byteOffset);
      throw formatFailure(where, `needs ${target.byteLength} bytes, but only ${bytesLeft} are left in the file`);
    }
    let numDone = 0;
    while (numDone < target.byteLength) {
      const length = Math.min(target.byteLength - numDone, MAX_READ_BYTES);
      const bytesRead = await this.#readOnce(target, numDone, length, where);
      if (bytesRead === 0) throw formatFailure(where, 'the file became shorter while it was read');
      numDone += bytesRead;
      this.#numBytesRead += bytesRead;
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#handle.close();
  }

  async #readOnce(
    target: Uint8Array,
    targetOffset: number,
    length: number,
    where: { readonly file: string; readonly byteOffset: number; readonly field: string },
  ): Promise<number> {
    try {
      return (await this.#handle.read(target, targetOffset, length, where.byteOffset + targetOffset)).bytesRead;
    } catch (error) {
      throw formatFailure(where, `cannot be read: ${describe(error)}`, { cause: error });
    }
  }
}

function openingError(path: string, error: unknown): Error {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (code === 'ENOENT' || code === 'ENOTDIR') return new FileAccessError(path, 'no such file', { cause: error });
  if (code === 'EACCES' || code === 'EPERM')
    return new FileAccessError(path, 'no permission to read it', { cause: error });
  if (code === 'EISDIR') {
    return formatFailure({ file: path, byteOffset: 0, field: 'file' }, 'is a folder, not a model file');
  }
  return new FileAccessError(path, `cannot be opened: ${describe(error)}`, { cause: error });
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
