/** Fields of a JSON object by name and wanted type. A missing field and `null` are both `undefined` (Hugging Face files use
 * either for "not set"); a field of the wrong type or out of range is a FormatError at its byte. */
import type { FormatError } from '../../engine/errors.ts';
import { formatFailure } from '../format-failure.ts';
import { JsonReader } from './json-reader.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from './parse-json.ts';
import { DEFAULT_MAX_JSON_BYTES, type ReadJsonOptions, readBoundedFile } from './read-json-file.ts';

/** Bounds are inclusive, but `above`. */
export interface NumberRange {
  readonly min?: number;
  readonly max?: number;
  readonly above?: number;
}

export class JsonFields {
  readonly object: JsonObject;
  readonly #file: string;
  readonly #bytes: Uint8Array;
  /** Names of the objects around this one. */
  readonly #path: readonly string[];

  private constructor(object: JsonObject, file: string, bytes: Uint8Array, path: readonly string[]) {
    this.object = object;
    this.#file = file;
    this.#bytes = bytes;
    this.#path = path;
  }

  /** @throws as `readJsonFile`, and FormatError when the text is not one object. */
  static async readFile(
    path: string,
    { maxBytes = DEFAULT_MAX_JSON_BYTES }: ReadJsonOptions = {},
  ): Promise<JsonFields> {
    const bytes = await readBoundedFile(path, maxBytes);
    const value = parseJson(bytes, path);
    if (isJsonObject(value)) return new JsonFields(value, path, bytes, []);
    throw formatFailure({ file: path, byteOffset: 0, field: 'JSON' }, 'must be an object');
  }

  /** For a value of the right type that makes no sense. */
  fail(name: string, problem: string): FormatError {
    const path = [...this.#path, name];
    const byteOffset = locate(this.#bytes, this.#file, path);
    return formatFailure({ file: this.#file, byteOffset, field: path.join('.') }, problem);
  }

  string(name: string): string | undefined {
    const value = this.#get(name);
    if (value === undefined || typeof value === 'string') return value;
    throw this.#wrong(name, 'a string', value);
  }

  bool(name: string): boolean | undefined {
    const value = this.#get(name);
    if (value === undefined || typeof value === 'boolean') return value;
    throw this.#wrong(name, 'true or false', value);
  }

  number(name: string, range: NumberRange = {}): number | undefined {
    const value = this.#get(name);
    if (value === undefined || (typeof value === 'number' && isWithin(value, range))) return value;
    throw this.#wrong(name, `a number${formatRange(range)}`, value);
  }

  /** Within 32 bits, whatever the range. */
  int(name: string, range: NumberRange = {}): number | undefined {
    const value = this.#get(name);
    if (value === undefined) return value;
    if (
      typeof value === 'number' &&
      value === Math.trunc(value) &&
      Math.abs(value) < 2 ** 31 &&
      isWithin(value, range)
    ) {
      return value;
    }
    throw this.#wrong(name, `a whole number${formatRange(range)} and below 2^31`, value);
  }

  strings(name: string): readonly string[] | undefined {
    const value = this.#get(name);
    if (value === undefined) return undefined;
    if (Array.isArray(value) && value.every((entry) => typeof entry === 'string')) return value;
    throw this.#wrong(name, 'an array of strings', value);
  }

  numbers(name: string): readonly number[] | undefined {
    const value = this.#get(name);
    if (value === undefined) return undefined;
    if (Array.isArray(value) && value.every((entry) => typeof entry === 'number')) return value;
    throw this.#wrong(name, 'an array of numbers', value);
  }

  /** Token ids: one, or an array of them, as `eos_token_id` may be either. */
  tokenIds(name: string): readonly number[] | undefined {
    const value = this.#get(name);
    if (value === undefined) return undefined;
    const ids = Array.isArray(value) ? value : [value];
    if (ids.every((id) => Number.isInteger(id) && id >= 0 && id < 2 ** 31)) return ids as number[];
    throw this.#wrong(name, 'a token id or an array of token ids', value);
  }

  fields(name: string): JsonFields | undefined {
    const value = this.#get(name);
    if (value === undefined) return undefined;
    if (isJsonObject(value)) return new JsonFields(value, this.#file, this.#bytes, [...this.#path, name]);
    throw this.#wrong(name, 'an object', value);
  }

  #get(name: string): JsonValue | undefined {
    return this.object[name] ?? undefined;
  }

  #wrong(name: string, wanted: string, value: JsonValue): FormatError {
    const got = isJsonObject(value)
      ? 'an object'
      : Array.isArray(value)
        ? 'an array'
        : JSON.stringify(value).slice(0, 60);
    return this.fail(name, `must be ${wanted}, got ${got}`);
  }
}

function isWithin(value: number, { min = -Infinity, max = Infinity, above = -Infinity }: NumberRange): boolean {
  return value >= min && value <= max && value > above;
}

function formatRange({ min, max, above }: NumberRange): string {
  if (above !== undefined) return ` above ${above}`;
  if (min !== undefined && max !== undefined) return ` from ${min} to ${max}`;
  return min === undefined ? '' : ` from ${min}`;
}

/** Where a member's value begins. Only an error asks, so the tree need not remember. 0 when there is no such member. */
function locate(bytes: Uint8Array, file: string, path: readonly string[]): number {
  const start = bytes[0] === 0xef ? 3 : 0;
  const reader = new JsonReader(bytes.subarray(start), file, start);
  let found = 0;
  const descend = (depth: number): void => {
    reader.object('JSON', (key) => {
      if (key !== path[depth]) skipValue(reader);
      else if (depth + 1 < path.length && reader.peek(key) === 'object') descend(depth + 1);
      else {
        found = reader.byteOffset;
        skipValue(reader);
      }
    });
  };
  descend(0);
  return found;
}

/** Steps over a value of a text that has been parsed, so its depth is bounded. */
function skipValue(reader: JsonReader): void {
  const token = reader.peek('JSON');
  if (token === 'object') reader.object('JSON', () => skipValue(reader));
  else if (token === 'array') reader.array('JSON', () => skipValue(reader));
  else if (token === 'string') reader.string('JSON');
  else if (token === 'number') reader.number('JSON');
  else reader.word(token, 'JSON');
}
