/** Reads one metadata value of any of the 13 types. Owns the limits on arrays; knows no key's meaning.
 *
 *   string  | length u64 | length bytes |
 *   array   | element type u32 | count u64 | count values, without padding |
 *
 * Source: `gguf_metadata_value_t` in the GGUF specification. */
import {
  GGUF_VALUE_TYPES,
  type GgufArray,
  type GgufNumberArray,
  type GgufNumberType,
  type GgufValue,
  type GgufValueType,
  NUMBER_TYPES,
} from './gguf-value.ts';
import type { HeaderCursor } from './header-cursor.ts';

/** Arrays within arrays. No published key nests at all; the bound keeps recursion shallow. */
const MAX_ARRAY_DEPTH = 8;

/** Arrays within arrays in one file, counted together. 12 bytes in a file make an object of some 200 in memory, so this
 * bounds what a file of nothing but empty arrays can take. */
export const MAX_NESTED_ARRAYS = 65_536;

const STRING_MIN_BYTES = 8;
const ARRAY_MIN_BYTES = 12;

export class ValueReader {
  readonly #cursor: HeaderCursor;
  #numNestedArrays = 0;

  constructor(cursor: HeaderCursor) {
    this.#cursor = cursor;
  }

  async read(key: string): Promise<GgufValue> {
    const type = await this.#type(key);
    if (type === 'string') return { type, value: await this.#cursor.text(key) };
    if (type === 'array') return await this.#array(key, 1);
    return await this.#scalar(type, key);
  }

  async #type(key: string): Promise<GgufValueType> {
    const start = this.#cursor.position;
    const id = await this.#cursor.uint32(`${key} (value type)`);
    const type = GGUF_VALUE_TYPES[id];
    if (type === undefined) {
      throw this.#cursor.fail(start, key, `value type ${id} is unknown; 0 to ${GGUF_VALUE_TYPES.length - 1} are valid`);
    }
    return type;
  }

  async #scalar(type: GgufNumberType, key: string): Promise<GgufValue> {
    const start = this.#cursor.position;
    const element = (await this.#numbers(type, 1, key, start)).value[0]!;
    if (type === 'bool') return { type, value: element !== 0 };
    if (type === 'uint64' || type === 'int64') return { type, value: exact(element as bigint) };
    return { type, value: element as number };
  }

  async #array(key: string, depth: number): Promise<GgufArray> {
    const cursor = this.#cursor;
    const start = cursor.position;
    if (depth > MAX_ARRAY_DEPTH) throw cursor.fail(start, key, `arrays nest deeper than ${MAX_ARRAY_DEPTH}`);
    const elementType = await this.#type(key);
    if (elementType === 'string') {
      const count = await cursor.count(key, 'strings', STRING_MIN_BYTES);
      return { type: 'array', elementType, value: await cursor.texts(count, key) };
    }
    if (elementType === 'array') {
      const count = await cursor.count(key, 'arrays', ARRAY_MIN_BYTES);
      this.#numNestedArrays += count;
      if (this.#numNestedArrays > MAX_NESTED_ARRAYS) {
        throw cursor.fail(start, key, `the file holds more than ${MAX_NESTED_ARRAYS} nested arrays`);
      }
      const value: GgufArray[] = [];
      for (let i = 0; i < count; i++) value.push(await this.#array(key, depth + 1));
      return { type: 'array', elementType, value };
    }
    const count = await cursor.count(key, `${elementType} values`, NUMBER_TYPES[elementType].bytes);
    return await this.#numbers(elementType, count, key, cursor.position);
  }

  /** `count` values straight into a typed array. The caller has checked that they are left in the file; the machine is
   * taken to be little-endian, as every typed array in Quern does. */
  async #numbers(elementType: GgufNumberType, count: number, key: string, start: number): Promise<GgufNumberArray> {
    const { bytes, arrayType } = NUMBER_TYPES[elementType];
    if (count * bytes > this.#cursor.numBytesLeft) {
      throw this.#cursor.fail(start, key, `needs ${count * bytes} bytes, but the file ends before`);
    }
    const value = new arrayType(count);
    await this.#cursor.bytes(new Uint8Array(value.buffer), key);
    if (elementType === 'bool') {
      const bad = (value as Uint8Array).findIndex((flag) => flag > 1);
      if (bad >= 0) throw this.#cursor.fail(start + bad, key, `a bool must be 0 or 1, got ${value[bad]}`);
    }
    return { type: 'array', elementType, value } as GgufNumberArray;
  }
}

function exact(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
