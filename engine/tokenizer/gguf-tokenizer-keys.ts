/** GGUF metadata by key and wanted type, as the tokenizer reads it. Every refusal is a FormatError that names the key. */
import { FormatError } from '../errors.ts';

/** GGUF values carry their type in the file beside them; only the value matters here. Numeric arrays are typed arrays. */
export type MetadataEntries = ReadonlyMap<string, { readonly value: unknown }>;

/** -1 as an unsigned number: how some converters write "none". */
const NO_ID = 0xffff_ffff;

export class GgufTokenizerKeys {
  readonly #entries: MetadataEntries;
  readonly #file: string;

  constructor(entries: MetadataEntries, file: string) {
    this.#entries = entries;
    this.#file = file;
  }

  has(key: string): boolean {
    return this.#entries.has(key);
  }

  /** An error about a key. The byte is unknown here, so it says 0. */
  fail(key: string, problem: string): FormatError {
    return new FormatError({ file: this.#file, byteOffset: 0, field: key }, problem);
  }

  string(key: string, fallback?: string): string {
    const value = this.#value(key, fallback);
    if (typeof value !== 'string') throw this.#wrong(key, 'a string', value);
    return value;
  }

  bool(key: string, fallback: boolean): boolean {
    const value = this.#value(key, fallback);
    if (typeof value !== 'boolean') throw this.#wrong(key, 'a bool', value);
    return value;
  }

  strings(key: string): readonly string[] {
    const value = this.#value(key);
    if (!Array.isArray(value) || !value.every((text) => typeof text === 'string')) {
      throw this.#wrong(key, 'an array of strings', value);
    }
    return value;
  }

  numbers(key: string): Int32Array | Uint32Array | Float32Array | Float64Array {
    const value = this.#value(key);
    if (value instanceof Int32Array || value instanceof Uint32Array) return value;
    if (value instanceof Float32Array || value instanceof Float64Array) return value;
    throw this.#wrong(key, 'an array of 32-bit numbers', value);
  }

  /** An id inside the vocabulary; `fallback` when the key is absent, undefined when it says "none". */
  tokenId(key: string, vocabSize: number, fallback?: number): number | undefined {
    if (!this.has(key)) return fallback;
    const value = this.#value(key);
    if (value === NO_ID || value === -1) return undefined;
    if (typeof value !== 'number' || !Number.isInteger(value)) throw this.#wrong(key, 'a token id', value);
    if (value < 0 || value >= vocabSize)
      throw this.fail(key, `must be a token id from 0 to ${vocabSize - 1}, is ${value}`);
    return value;
  }

  #value(key: string, fallback?: unknown): unknown {
    const entry = this.#entries.get(key);
    if (entry !== undefined) return entry.value;
    if (fallback === undefined) throw this.fail(key, 'is missing');
    return fallback;
  }

  #wrong(key: string, wanted: string, value: unknown): FormatError {
    const found = typeof value === 'object' ? (value?.constructor?.name ?? 'null') : `${typeof value} ${String(value)}`;
    return this.fail(key, `must be ${wanted}, is ${found.slice(0, 80)}`);
  }
}
