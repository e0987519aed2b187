/** Files that a command is about to write. */
import { existsSync, statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { InvalidArgumentError } from '../engine/errors.ts';
import { writeFailure } from '../engine/util/write-failure.ts';

/** Where `-` stands for stdin, it must not quietly make a file of that name. @throws InvalidArgumentError */
export function checkOutputName(argument: string, path: string): void {
  if (path === '') throw new InvalidArgumentError(argument, 'give the name of a file');
  if (path === '-') throw new InvalidArgumentError(argument, 'stdout is not for this; give the name of a file');
}

/** Nothing is overwritten by accident. A device or a pipe is not a file to lose.
 * @throws InvalidArgumentError */
export function checkOutput(path: string, options: { readonly force: boolean }): void {
  checkOutputName('output', path);
  if (!existsSync(path)) return;
  if (!statSync(path).isFile()) throw new InvalidArgumentError('output', `${path} is not a file`);
  if (!options.force) throw new InvalidArgumentError('output', `${path} exists; --force overwrites it`);
}

/** Bytes, one piece after the other, into a file that may also be a pipe or a device. */
export class RawFile {
  readonly #path: string;
  readonly #handle: FileHandle;

  private constructor(path: string, handle: FileHandle) {
    this.#path = path;
    this.#handle = handle;
  }

  /** What the file held before is gone. @throws FileAccessError */
  static async create(path: string): Promise<RawFile> {
    try {
      return new RawFile(path, await open(path, 'w'));
    } catch (error) {
      throw writeFailure(path, error);
    }
  }

  /** @throws FileAccessError when the disk is full, or fails */
  async append(bytes: Uint8Array): Promise<void> {
    try {
      await this.#handle.appendFile(bytes);
    } catch (error) {
      throw writeFailure(this.#path, error);
    }
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}
