/** Builds a tree from the JSON of a configuration file. Stricter than `JSON.parse` (no key twice, bounded depth) and with
 * errors that carry a byte offset. */
import { isUtf8 } from 'node:buffer';
import { formatFailure } from '../format-failure.ts';
import { JsonReader } from './json-reader.ts';

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;
/** Without a prototype: a key of `__proto__` or `constructor` is a key like any other. */
export interface JsonObject {
  readonly [key: string]: JsonValue;
}

const MAX_DEPTH = 64;
/** `{}` is 2 bytes in a file and 200 in memory. So a text of n bytes may hold n / 8 arrays, an object counting as three:
 * real files spend far more bytes than that on each pair of brackets. Small texts may hold some more. */
const MIN_BYTES_PER_ARRAY = 8;
const ARRAYS_PER_OBJECT = 3;
const FREE_ARRAYS = 1024;

/** @param file  the name for messages
 * @throws FormatError at the byte where the text stops being valid. */
export function parseJson(bytes: Uint8Array, file: string): JsonValue {
  if (!isUtf8(bytes)) throw formatFailure({ file, byteOffset: 0, field: 'JSON' }, 'the text is not valid UTF-8');
  const hasByteOrderMark = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
  const start = hasByteOrderMark ? 3 : 0;
  const reader = new JsonReader(bytes.subarray(start), file, start);
  const value = new TreeBuilder(reader, bytes.byteLength).value('JSON', 0);
  reader.end();
  return value;
}

export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

class TreeBuilder {
  readonly #reader: JsonReader;
  #arraysLeft: number;

  constructor(reader: JsonReader, byteLength: number) {
    this.#reader = reader;
    this.#arraysLeft = FREE_ARRAYS + byteLength / MIN_BYTES_PER_ARRAY;
  }

  value(field: string, depth: number): JsonValue {
    const reader = this.#reader;
    const token = reader.peek(field);
    switch (token) {
      case 'string':
        return reader.string(field);
      case 'number':
        return reader.number(field);
      case 'object':
        return this.#object(field, depth + 1);
      case 'array':
        return this.#array(field, depth + 1);
      case 'null':
        reader.word(token, field);
        return null;
      case 'true':
      case 'false':
        reader.word(token, field);
        return token === 'true';
      default:
        return token satisfies never;
    }
  }

  #object(field: string, depth: number): JsonObject {
    this.#open(field, depth, ARRAYS_PER_OBJECT);
    const object = Object.create(null) as Record<string, JsonValue>;
    this.#reader.object(field, (key, keyOffset) => {
      if (key in object) throw this.#reader.fail(keyOffset, key, 'the key occurs twice');
      object[key] = this.value(key, depth);
    });
    return object;
  }

  #array(field: string, depth: number): JsonValue[] {
    this.#open(field, depth, 1);
    const array: JsonValue[] = [];
    this.#reader.array(field, () => {
      array.push(this.value(field, depth));
    });
    // A growing array has room to spare, 17 places at first; a copy has none.
    return array.slice();
  }

  #open(field: string, depth: number, cost: number): void {
    const { byteOffset } = this.#reader;
    if (depth > MAX_DEPTH) throw this.#reader.fail(byteOffset, field, `nests deeper than ${MAX_DEPTH}`);
    this.#arraysLeft -= cost;
    if (this.#arraysLeft < 0)
      throw this.#reader.fail(byteOffset, field, 'too many objects or arrays for so short a text');
  }
}
