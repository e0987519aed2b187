/** The output file of `quern batch`: finished lines are appended at once, and found again when the command runs anew.
 *
 * A run may end at any byte. What a kill leaves behind is whole lines and at most one torn one:
 *
 *   {"index":0,...}\n {"index":2,...}\n {"index":1,"te
 *                                       ^ dropped when the file is opened, and so are records of lines that failed:
 *                                         both are run again
 */
import { createReadStream, existsSync, statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { FormatError, InvalidArgumentError } from '../../engine/errors.ts';
import { writeFailure } from '../../engine/util/write-failure.ts';
import { writeAtomically } from '../../formats/atomic-file-writer.ts';
import { byteLines } from '../byte-lines.ts';
import { keyOf } from './batch-input.ts';
import { type RecordHead, readRecordHead } from './batch-record.ts';

/** A string of JavaScript holds about twice this. */
const MAX_LINE_BYTES = 2 ** 28;

interface Place extends RecordHead {
  readonly byteOffset: number;
  /** The line feed included. */
  readonly numBytes: number;
}

export class ResultFile {
  /** Input hashes of finished lines by key, as the file had them when it was opened. */
  readonly finished: ReadonlyMap<string, string>;
  readonly #path: string;
  readonly #handle: FileHandle;
  #lastWrite: Promise<void> = Promise.resolve();

  private constructor(path: string, handle: FileHandle, finished: ReadonlyMap<string, string>) {
    this.#path = path;
    this.#handle = handle;
    this.finished = finished;
  }

  /** Opens a file to go on with, or makes a new one.
   * @throws FormatError when it holds anything else, FileAccessError, InvalidArgumentError when it is no regular file */
  static async open(path: string): Promise<ResultFile> {
    const finished = new Map<string, string>();
    if (existsSync(path)) {
      if (!statSync(path).isFile()) throw new InvalidArgumentError('--out', `${path} is not a file`);
      const { places, isTorn } = await findRecords(path);
      const kept = places.filter(({ isError }) => !isError);
      if (isTorn || kept.length < places.length) await rewrite(path, kept);
      for (const { id, index, inputHash } of kept) finished.set(keyOf(id, index), inputHash);
    }
    try {
      return new ResultFile(path, await open(path, 'a'), finished);
    } catch (error) {
      throw writeFailure(path, error);
    }
  }

  /** Appends one line; resolves when it is written. Calls may overlap. */
  append(record: Readonly<Record<string, unknown>>): Promise<void> {
    const line = `${JSON.stringify(record)}\n`;
    const write = this.#lastWrite.then(async () => {
      try {
        await this.#handle.appendFile(line);
      } catch (error) {
        throw writeFailure(this.#path, error);
      }
    });
    this.#lastWrite = write.catch(() => {});
    return write;
  }

  /** Puts the lines into the order of the input, if they are not. The file is whole at every moment. */
  async sort(): Promise<void> {
    await this.#lastWrite;
    const { places } = await findRecords(this.#path);
    if (places.every(({ index }, i) => i === 0 || places[i - 1]!.index <= index)) return;
    await rewrite(
      this.#path,
      places.toSorted((a, b) => a.index - b.index),
    );
  }

  /** Everything appended is on the disk when this resolves. */
  async close(): Promise<void> {
    await this.#lastWrite;
    await this.#handle.sync();
    await this.#handle.close();
  }
}

async function findRecords(path: string): Promise<{ readonly places: Place[]; readonly isTorn: boolean }> {
  const places: Place[] = [];
  for await (const { bytes, index: lineIndex, byteOffset, isWhole } of byteLines(
    createReadStream(path),
    MAX_LINE_BYTES,
  )) {
    if (!isWhole) return { places, isTorn: true };
    const head = bytes === undefined ? undefined : readRecordHead(bytes);
    if (bytes === undefined || head === undefined) {
      const where = { file: path, byteOffset, field: `line ${lineIndex + 1}` };
      throw new FormatError(where, 'was not written by quern batch, so it is not added to; give another --out');
    }
    places.push({ ...head, byteOffset, numBytes: bytes.length + 1 });
  }
  return { places, isTorn: false };
}

/** Replaces the file by the given records of it, in the given order. */
async function rewrite(path: string, places: readonly Place[]): Promise<void> {
  await using source = await open(path, 'r');
  await writeAtomically(path, async (target) => {
    for (const { byteOffset, numBytes } of places) {
      const { buffer } = await source.read(Buffer.alloc(numBytes), 0, numBytes, byteOffset);
      await target.write(buffer);
    }
  });
}
