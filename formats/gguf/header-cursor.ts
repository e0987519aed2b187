/** Walks through a file's header from front to back, through a window of a few hundred kilobytes. Owns the rule that
 * makes a hostile file harmless: no length or count from the file is believed before it fits into the bytes that are left.
 * Knows integers and strings, not what they mean.
 *
 *   file    |-----------|=================|----------------------------------|
 *           0           window            window + filled                    byteLength
 *                            ^ position                                       */
import { isUtf8 } from 'node:buffer';
import type { FormatError } from '../../engine/errors.ts';
import type { FileRangeReader } from '../file-range-reader.ts';
import { formatFailure } from '../format-failure.ts';

const WINDOW_BYTES = 256 * 1024;

/** Far above any chat template or tokenizer.json seen in a file; below V8's longest string (2^29 - 24 characters). */
const MAX_STRING_BYTES = 2 ** 28;

export class HeaderCursor {
  readonly #reader: FileRangeReader;
  readonly #window: Buffer;
  /** Where in the file the window begins, how many of its bytes are valid, how many of those are consumed. */
  #windowStart = 0;
  #filled = 0;
  #consumed = 0;

  constructor(reader: FileRangeReader) {
    this.#reader = reader;
    this.#window = Buffer.allocUnsafe(Math.min(WINDOW_BYTES, reader.byteLength));
  }

  /** Bytes from the file's start. */
  get position(): number {
    return this.#windowStart + this.#consumed;
  }

  /** Bytes between the position and the file's end. */
  get numBytesLeft(): number {
    return this.#reader.byteLength - this.position;
  }

  fail(byteOffset: number, field: string, problem: string): FormatError {
    return formatFailure({ file: this.#reader.path, byteOffset, field }, problem);
  }

  async uint8(field: string): Promise<number> {
    await this.#need(1, field);
    return this.#window.readUInt8(this.#take(1));
  }

  async uint32(field: string): Promise<number> {
    await this.#need(4, field);
    return this.#window.readUInt32LE(this.#take(4));
  }

  async uint64(field: string): Promise<bigint> {
    await this.#need(8, field);
    return this.#window.readBigUInt64LE(this.#take(8));
  }

  /** A number of things that follow, each at least `minBytesEach` long.
   * @throws FormatError when so many cannot be left in the file. */
  async count(field: string, what: string, minBytesEach: number): Promise<number> {
    const start = this.position;
    const count = await this.uint64(field);
    if (count * BigInt(minBytesEach) > BigInt(this.numBytesLeft)) {
      const need = count * BigInt(minBytesEach);
      throw this.fail(start, field, `claims ${count} ${what} (at least ${need} bytes), ${this.#left()}`);
    }
    return Number(count);
  }

  /** Fills `target` with the next bytes: from the window, or, when they are more than it holds, straight from the file. */
  async bytes(target: Uint8Array, field: string): Promise<void> {
    const { byteLength } = target;
    if (byteLength <= this.#window.length) {
      await this.#need(byteLength, field);
      const from = this.#take(byteLength);
      target.set(this.#window.subarray(from, from + byteLength));
      return;
    }
    if (byteLength > this.numBytesLeft)
      throw this.fail(this.position, field, `needs ${byteLength} bytes, ${this.#left()}`);
    const numBuffered = this.#filled - this.#consumed;
    target.set(this.#window.subarray(this.#consumed, this.#filled));
    const position = this.position + numBuffered;
    await this.#reader.read(position, target.subarray(numBuffered), field);
    this.#windowStart = position + byteLength - numBuffered;
    this.#filled = 0;
    this.#consumed = 0;
  }

  /** A length-prefixed string that must be valid UTF-8 and not empty: a key or a name, which something will look up. */
  async name(field: string, maxBytes: number): Promise<string> {
    const start = this.position;
    const bytes = await this.#stringBytes(field, maxBytes);
    if (bytes.length === 0) throw this.fail(start, field, 'is empty');
    if (!isUtf8(bytes)) throw this.fail(start, field, 'is not valid UTF-8');
    return bytes.toString('utf8');
  }

  /** A length-prefixed string, read leniently: bytes that are not UTF-8 become U+FFFD. */
  async text(field: string): Promise<string> {
    return (await this.#stringBytes(field, MAX_STRING_BYTES)).toString('utf8');
  }

  /** `count` length-prefixed strings. A vocabulary holds hundreds of thousands, so all that lie in the window are taken
   * without an `await` between them. */
  async texts(count: number, field: string): Promise<string[]> {
    const strings: string[] = [];
    while (strings.length < count) {
      strings.push(await this.text(field));
      while (strings.length < count) {
        const start = this.#consumed + 8;
        if (start > this.#filled || this.#window.readUInt32LE(this.#consumed + 4) !== 0) break;
        const end = start + this.#window.readUInt32LE(this.#consumed);
        if (end > this.#filled) break;
        strings.push(this.#window.toString('utf8', start, end));
        this.#consumed = end;
      }
    }
    return strings;
  }

  /** The bytes of one string: a view into the window, or new memory when it is longer than the window. */
  async #stringBytes(field: string, maxBytes: number): Promise<Buffer> {
    const start = this.position;
    const length = await this.uint64(field);
    if (length > this.numBytesLeft) throw this.fail(start, field, `claims ${length} bytes, ${this.#left()}`);
    if (length > maxBytes) throw this.fail(start, field, `claims ${length} bytes, more than the ${maxBytes} allowed`);
    const numBytes = Number(length);
    if (numBytes <= this.#window.length) {
      await this.#need(numBytes, field);
      const from = this.#take(numBytes);
      return this.#window.subarray(from, from + numBytes);
    }
    const bytes = Buffer.allocUnsafeSlow(numBytes);
    await this.bytes(bytes, field);
    return bytes;
  }

  /** Makes the next `numBytes` (at most the window's length) lie in the window. */
  async #need(numBytes: number, field: string): Promise<void> {
    if (this.#filled - this.#consumed >= numBytes) return;
    if (numBytes > this.numBytesLeft) {
      throw this.fail(this.position, field, `needs ${numBytes} bytes, ${this.#left()}`);
    }
    const position = this.position;
    this.#window.copyWithin(0, this.#consumed, this.#filled);
    const numKept = this.#filled - this.#consumed;
    const filled = Math.min(this.#window.length, this.#reader.byteLength - position);
    await this.#reader.read(position + numKept, this.#window.subarray(numKept, filled), field);
    this.#windowStart = position;
    this.#filled = filled;
    this.#consumed = 0;
  }

  /** Consumes bytes that lie in the window, and says where they begin in it. */
  #take(numBytes: number): number {
    const from = this.#consumed;
    this.#consumed += numBytes;
    return from;
  }

  #left(): string {
    return `but only ${this.numBytesLeft} are left in the file`;
  }
}
