/** Writes a file under a temporary name and renames it when it is whole: a reader sees the old file or the new one,
 * never half of one. A process that exits in the middle takes the temporary file along, unless it is killed outright.
 * Knows no format. */
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { type FileHandle, open, rename, rm, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { FileAccessError } from '../engine/errors.ts';
import { writeFailure } from '../engine/util/write-failure.ts';

/** Small pieces are gathered to this size before they are written. */
const BUFFER_BYTES = 2 ** 20;

export interface AtomicFileOptions {
  /** Permission bits of the new file, before the umask takes its share. Default 0o666. */
  readonly mode?: number;
  /** How long the file will be, if that is known: a disk with less space is refused before it is full. */
  readonly expectedBytes?: number;
}

export class AtomicFileWriter {
  readonly #path: string;
  readonly #temporaryPath: string;
  readonly #handle: FileHandle;
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  #numBuffered = 0;
  #position = 0;
  /** A second Ctrl-C, or an error that nobody caught, exits without a word to whoever writes. */
  readonly #onExit = (): void => rmSync(this.#temporaryPath, { force: true });

  private constructor(path: string, temporaryPath: string, handle: FileHandle) {
    this.#path = path;
    this.#temporaryPath = temporaryPath;
    this.#handle = handle;
    process.on('exit', this.#onExit);
  }

  /** @throws FileAccessError when the folder is missing, may not be written or lacks the space. */
  static async create(path: string, options: AtomicFileOptions = {}): Promise<AtomicFileWriter> {
    const { mode = 0o666, expectedBytes = 0 } = options;
    await checkSpace(path, expectedBytes);
    const temporaryPath = `${path}.${randomUUID()}.tmp`;
    try {
      return new AtomicFileWriter(path, temporaryPath, await open(temporaryPath, 'wx', mode));
    } catch (error) {
      throw writeFailure(path, error);
    }
  }

  /** Bytes written so far. */
  get position(): number {
    return this.#position;
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#position += bytes.byteLength;
    if (this.#numBuffered + bytes.byteLength > BUFFER_BYTES) await this.#flush();
    if (bytes.byteLength > BUFFER_BYTES) {
      await this.#writeOut(bytes);
      return;
    }
    this.#buffer.set(bytes, this.#numBuffered);
    this.#numBuffered += bytes.byteLength;
  }

  /** Zero bytes up to the next multiple of `alignment`. */
  async padTo(alignment: number): Promise<void> {
    let missing = (alignment - (this.#position % alignment)) % alignment;
    const zeros = new Uint8Array(Math.min(missing, BUFFER_BYTES));
    for (; missing > 0; missing -= zeros.length) await this.write(zeros.subarray(0, missing));
  }

  /** Puts the file in its place. */
  async commit(): Promise<void> {
    await this.#flush();
    try {
      await this.#handle.sync();
      await this.#handle.close();
      await rename(this.#temporaryPath, this.#path);
    } catch (error) {
      throw writeFailure(this.#path, error);
    }
    process.off('exit', this.#onExit);
  }

  /** Leaves nothing behind. */
  async abort(): Promise<void> {
    await this.#handle.close();
    await rm(this.#temporaryPath, { force: true });
    process.off('exit', this.#onExit);
  }

  async #flush(): Promise<void> {
    const bytes = this.#buffer.subarray(0, this.#numBuffered);
    this.#numBuffered = 0;
    await this.#writeOut(bytes);
  }

  async #writeOut(bytes: Uint8Array): Promise<void> {
    try {
      for (let done = 0; done < bytes.byteLength; ) {
        done += (await this.#handle.write(bytes, done, bytes.byteLength - done)).bytesWritten;
      }
    } catch (error) {
      throw writeFailure(this.#path, error);
    }
  }
}

/** Runs `fill` on a new file; commits when it ends, leaves nothing when it throws. */
export async function writeAtomically(
  path: string,
  fill: (file: AtomicFileWriter) => Promise<void>,
  options: AtomicFileOptions = {},
): Promise<void> {
  const file = await AtomicFileWriter.create(path, options);
  try {
    await fill(file);
    await file.commit();
  } catch (error) {
    await file.abort();
    throw error;
  }
}

async function checkSpace(path: string, numBytes: number): Promise<void> {
  // A file system that does not tell is tried.
  const system = await statfs(dirname(path)).catch(() => undefined);
  if (system === undefined || system.blocks === 0) return;
  const free = system.bavail * system.bsize;
  if (numBytes <= free) return;
  throw new FileAccessError(path, `cannot be written: it takes ${numBytes} bytes, and ${free} are free`);
}
