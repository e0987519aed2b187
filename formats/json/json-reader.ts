/** Walks through JSON text, token by token, as its caller expects it: `{`, a key, a whole number. A caller that knows its
 * schema so refuses anything else at its exact byte, and no value is built that it did not ask for: no tree of a hostile
 * header, no `__proto__`, no stack overflow from a million brackets.
 *
 * Source: RFC 8259. Bytes must be valid UTF-8 (the caller checks), so scanning for ASCII delimiters is safe. */
import type { FormatError } from '../../engine/errors.ts';
import { formatFailure } from '../format-failure.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

export type JsonToken = 'object' | 'array' | 'string' | 'number' | 'true' | 'false' | 'null';

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
/** Longer than any double anyone writes; bounds the text taken out for one. */
const MAX_NUMBER_BYTES = 400;

export class JsonReader {
  readonly #bytes: Buffer;
  readonly #file: string;
  /** Where the text begins in the file: 8 in a safetensors file. */
  readonly #fileOffset: number;
  #position = 0;

  constructor(bytes: Uint8Array, file: string, fileOffset = 0) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#file = file;
    this.#fileOffset = fileOffset;
  }

  /** Of the next token, from the file's start. */
  get byteOffset(): number {
    this.#skipSpace();
    return this.#fileOffset + this.#position;
  }

  fail(byteOffset: number, field: string, problem: string): FormatError {
    return formatFailure({ file: this.#file, byteOffset, field }, problem);
  }

  /** What kind of value comes next. */
  peek(field: string): JsonToken {
    this.#skipSpace();
    const byte = this.#bytes[this.#position];
    if (byte === 0x7b) return 'object';
    if (byte === 0x5b) return 'array';
    if (byte === QUOTE) return 'string';
    if (byte === 0x2d || (byte !== undefined && byte >= 0x30 && byte <= 0x39)) return 'number';
    if (byte === 0x74) return 'true';
    if (byte === 0x66) return 'false';
    if (byte === 0x6e) return 'null';
    throw this.#unexpected(field, 'a value');
  }

  /** Calls `member` for each key of the object that comes next; `member` must consume the key's value. */
  object(field: string, member: (key: string, keyOffset: number) => void): void {
    this.#expect('{', field);
    if (this.#accept('}')) return;
    do {
      const keyOffset = this.byteOffset;
      const key = this.string(field);
      this.#expect(':', key);
      member(key, keyOffset);
    } while (this.#accept(','));
    this.#expect('}', field);
  }

  /** Calls `element` for each place of the array that comes next; `element` must consume the value. */
  array(field: string, element: (index: number) => void): void {
    this.#expect('[', field);
    if (this.#accept(']')) return;
    let index = 0;
    do element(index++);
    while (this.#accept(','));
    this.#expect(']', field);
  }

  string(field: string): string {
    this.#expect('"', field);
    const start = this.#position;
    let end = start;
    let escaped = false;
    for (; ; end++) {
      const byte = this.#bytes[end];
      if (byte === QUOTE) break;
      if (byte === undefined) throw this.fail(this.#fileOffset + start - 1, field, 'the string does not end');
      if (byte < 0x20) throw this.fail(this.#fileOffset + end, field, 'a string holds an unescaped control character');
      if (byte === BACKSLASH) {
        escaped = true;
        end++;
      }
    }
    this.#position = end + 1;
    if (!escaped) return this.#bytes.toString('utf8', start, end);
    try {
      // Only one string, already delimited: the platform's own unescaping, without its tree.
      return JSON.parse(this.#bytes.toString('utf8', start - 1, end + 1)) as string;
    } catch (error) {
      const where = { file: this.#file, byteOffset: this.#fileOffset + start - 1, field };
      throw formatFailure(where, 'a string holds an invalid escape', { cause: error });
    }
  }

  number(field: string): number {
    this.#skipSpace();
    const start = this.#position;
    let end = start;
    while (end - start < MAX_NUMBER_BYTES && isNumberByte(this.#bytes[end])) end++;
    const text = this.#bytes.toString('latin1', start, end);
    if (!NUMBER.test(text)) throw this.#unexpected(field, 'a number');
    this.#position = end;
    const value = Number(text);
    if (!Number.isFinite(value)) throw this.fail(this.#fileOffset + start, field, `${text} is too large`);
    return value;
  }

  /** A whole number from 0 that a double holds exactly, written without point or exponent. */
  uint(field: string): number {
    const start = this.byteOffset;
    const value = this.number(field);
    const end = this.#position;
    const isPlain = this.#bytes.subarray(start - this.#fileOffset, end).every((byte) => byte >= 0x30 && byte <= 0x39);
    if (!isPlain || !Number.isSafeInteger(value)) {
      throw this.fail(start, field, `must be a whole number from 0 to 2^53 - 1, got ${value}`);
    }
    return value;
  }

  /** One of the words `true`, `false`, `null`. */
  word(word: 'true' | 'false' | 'null', field: string): void {
    this.#skipSpace();
    if (this.#bytes.toString('latin1', this.#position, this.#position + word.length) !== word) {
      throw this.#unexpected(field, word);
    }
    this.#position += word.length;
  }

  /** @throws FormatError when anything but white space is left. */
  end(): void {
    this.#skipSpace();
    if (this.#position < this.#bytes.length) throw this.#unexpected('JSON', 'the end of the text');
  }

  #expect(character: string, field: string): void {
    if (!this.#accept(character)) throw this.#unexpected(field, `'${character}'`);
  }

  #accept(character: string): boolean {
    this.#skipSpace();
    if (this.#bytes[this.#position] !== character.charCodeAt(0)) return false;
    this.#position++;
    return true;
  }

  #skipSpace(): void {
    for (; ; this.#position++) {
      const byte = this.#bytes[this.#position];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return;
    }
  }

  #unexpected(field: string, wanted: string): FormatError {
    const next = this.#bytes.toString('utf8', this.#position, this.#position + 12);
    const got = next === '' ? 'the end of the text' : JSON.stringify(next);
    return this.fail(this.#fileOffset + this.#position, field, `expected ${wanted}, got ${got}`);
  }
}

/** Digits, sign, point, exponent. */
function isNumberByte(byte: number | undefined): boolean {
  if (byte === undefined) return false;
  return (byte >= 0x30 && byte <= 0x39) || byte === 0x2e || byte === 0x2d || byte === 0x2b || (byte | 0x20) === 0x65;
}
