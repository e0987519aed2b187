/** A value inside a parsed JSON file, with its path, so that every refusal names the field. */
import { FormatError, UnsupportedError } from '../../errors.ts';

export class JsonNode {
  readonly value: unknown;
  readonly #file: string;
  readonly #path: string;

  /** @param path  as in `model.vocab`; '' at the root */
  constructor(value: unknown, file: string, path = '') {
    this.value = value;
    this.#file = file;
    this.#path = path;
  }

  /** The byte is unknown after parsing, so it says 0. */
  fail(problem: string): FormatError {
    return new FormatError({ file: this.#file, byteOffset: 0, field: this.#path || 'tokenizer.json' }, problem);
  }

  unsupported(what: string, reason: string): UnsupportedError {
    return new UnsupportedError(`${what} (${this.#path} in ${this.#file})`, reason, {
      field: this.#path,
      file: this.#file,
    });
  }

  /** Absent, or null. */
  get isNull(): boolean {
    return this.value === undefined || this.value === null;
  }

  get(name: string): JsonNode {
    const path = this.#path === '' ? name : `${this.#path}.${name}`;
    return new JsonNode(Object.hasOwn(this.object(), name) ? this.object()[name] : undefined, this.#file, path);
  }

  object(): Readonly<Record<string, unknown>> {
    if (typeof this.value !== 'object' || this.value === null || Array.isArray(this.value))
      throw this.#wrong('an object');
    return this.value as Record<string, unknown>;
  }

  array(): readonly unknown[] {
    if (!Array.isArray(this.value)) throw this.#wrong('an array');
    return this.value;
  }

  items(): JsonNode[] {
    return this.array().map((item, i) => new JsonNode(item, this.#file, `${this.#path}[${i}]`));
  }

  string(fallback?: string): string {
    if (this.isNull && fallback !== undefined) return fallback;
    if (typeof this.value !== 'string') throw this.#wrong('a string');
    return this.value;
  }

  bool(fallback: boolean): boolean {
    if (this.isNull) return fallback;
    if (typeof this.value !== 'boolean') throw this.#wrong('true or false');
    return this.value;
  }

  /** A whole number from 0 to 2^31 - 1. */
  index(): number {
    const { value } = this;
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > 0x7fff_ffff) {
      throw this.#wrong('a whole number from 0 to 2147483647');
    }
    return value;
  }

  #wrong(wanted: string): FormatError {
    if (this.value === undefined) return this.fail(`is missing; must be ${wanted}`);
    const found = Array.isArray(this.value) ? 'an array' : this.value === null ? 'null' : typeof this.value;
    return this.fail(`must be ${wanted}, is ${found}`);
  }
}
