/** Metadata by key and by the type the caller needs. Every refusal names the file, the byte and the key, so that a bad
 * number deep in a model's hyperparameters is reported as what it is: a bad file.
 *
 * Writers disagree on widths (`uint32` here, `uint64` there), so a getter takes any type that can hold its kind of value. */
import type { FormatError } from '../../engine/errors.ts';
import { formatFailure } from '../format-failure.ts';
import type { GgufMetadata, GgufNumberArray, GgufValue } from './gguf-value.ts';

type Kind = 'string' | 'bool' | 'number';

export class GgufFields {
  readonly #file: string;
  readonly #metadata: GgufMetadata;
  readonly #offsets: ReadonlyMap<string, number>;

  constructor(file: string, metadata: GgufMetadata, offsets: ReadonlyMap<string, number>) {
    this.#file = file;
    this.#metadata = metadata;
    this.#offsets = offsets;
  }

  has(key: string): boolean {
    return this.#metadata.has(key);
  }

  /** For a value of the right type that makes no sense: `throw fields.fail(key, 'must be a multiple of 8, got 3')`. */
  fail(key: string, problem: string): FormatError {
    return formatFailure({ file: this.#file, byteOffset: this.#offsets.get(key) ?? 0, field: key }, problem);
  }

  /** The getters below throw FormatError when the value is of another type, or is missing and no fallback is given.
   * A missing key is reported at byte 0. */
  string(key: string, fallback?: string): string {
    const found = this.#find(key, fallback);
    if (found === undefined) return fallback!;
    if (found.type !== 'string') throw this.#wrong(key, 'a string', found);
    return found.value;
  }

  bool(key: string, fallback?: boolean): boolean {
    const found = this.#find(key, fallback);
    if (found === undefined) return fallback!;
    if (found.type !== 'bool') throw this.#wrong(key, 'a bool', found);
    return found.value;
  }

  /** A float or a whole number. May be NaN or infinite: the caller knows the range. */
  float(key: string, fallback?: number): number {
    const found = this.#find(key, fallback);
    if (found === undefined) return fallback!;
    if (kindOf(found) !== 'number') throw this.#wrong(key, 'a number', found);
    return Number(found.value);
  }

  /** A whole number. */
  int(key: string, fallback?: number): number {
    const found = this.#find(key, fallback);
    if (found === undefined) return fallback!;
    if (!isInteger(found) || typeof found.value !== 'number') throw this.#wrong(key, 'a whole number', found);
    return found.value;
  }

  /** A whole number from 0. */
  uint(key: string, fallback?: number): number {
    const value = this.int(key, fallback);
    if (value < 0) throw this.fail(key, `must be a whole number from 0, got ${value}`);
    return value;
  }

  strings(key: string, fallback?: readonly string[]): readonly string[] {
    const found = this.#find(key, fallback);
    if (found === undefined) return fallback!;
    if (found.type !== 'array') throw this.#wrong(key, 'an array of strings', found);
    if (found.elementType === 'string') return found.value;
    if (found.value.length === 0) return [];
    throw this.#wrong(key, 'an array of strings', found);
  }

  /** An array of numbers of any width, as stored; 64-bit ones become doubles. */
  numbers(key: string, fallback?: ArrayLike<number>): ArrayLike<number> {
    const found = this.#find(key, fallback);
    if (found === undefined) return fallback!;
    return this.#numberArray(key, found, 'an array of numbers');
  }

  /** An array of whole numbers from 0. */
  uints(key: string, fallback?: ArrayLike<number>): ArrayLike<number> {
    const found = this.#find(key, fallback);
    if (found === undefined) return fallback!;
    const values = this.#numberArray(key, found, 'an array of whole numbers');
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!;
      if (!Number.isSafeInteger(value) || value < 0) {
        throw this.fail(key, `entry ${i} must be a whole number from 0, got ${value}`);
      }
    }
    return values;
  }

  bools(key: string, fallback?: readonly boolean[]): readonly boolean[] {
    const found = this.#find(key, fallback);
    if (found === undefined) return fallback!;
    if (found.type !== 'array' || found.elementType !== 'bool') throw this.#wrong(key, 'an array of bools', found);
    return Array.from(found.value, (flag) => flag !== 0);
  }

  #find(key: string, fallback: unknown): GgufValue | undefined {
    const found = this.#metadata.get(key);
    if (found === undefined && fallback === undefined) throw this.fail(key, 'the key is missing');
    return found;
  }

  #numberArray(key: string, found: GgufValue, wanted: string): ArrayLike<number> {
    if (found.type !== 'array') throw this.#wrong(key, wanted, found);
    if (found.elementType === 'string' || found.elementType === 'array' || found.elementType === 'bool') {
      if (found.value.length === 0) return [];
      throw this.#wrong(key, wanted, found);
    }
    return toNumbers(found);
  }

  #wrong(key: string, wanted: string, found: GgufValue): FormatError {
    return this.fail(key, `must be ${wanted}, got ${describe(found)}`);
  }
}

function kindOf(value: GgufValue): Kind | 'array' {
  if (value.type === 'array' || value.type === 'string' || value.type === 'bool') return value.type;
  return 'number';
}

function isInteger(value: GgufValue): boolean {
  return kindOf(value) === 'number' && value.type !== 'float32' && value.type !== 'float64';
}

function toNumbers(array: GgufNumberArray): ArrayLike<number> {
  const { value } = array;
  if (value instanceof BigUint64Array || value instanceof BigInt64Array) return Float64Array.from(value, Number);
  return value;
}

function describe(value: GgufValue): string {
  if (value.type === 'array') return `an array of ${value.value.length} ${value.elementType}`;
  return `${value.type} ${String(value.value).slice(0, 40)}`;
}
