/** Metadata of any model file as short, plain values: what a person or a script wants to see of them. */
import type { GgufArray, GgufValue, GgufValueType } from '../../formats/gguf/gguf-value.ts';
import type { JsonValue } from '../../formats/json/parse-json.ts';

export interface MetadataEntry {
  readonly key: string;
  /** The type as the file states it: `uint32`, `string`, `array of string`; of JSON its own. */
  readonly type: string;
  /** Of an array or a text only the beginning, unless everything was asked for. */
  readonly value: PlainValue;
  /** Elements of an array or characters of a text, where `value` holds fewer. */
  readonly length?: number;
}

export type PlainValue =
  | null
  | boolean
  | number
  | string
  | readonly PlainValue[]
  | { readonly [key: string]: PlainValue };

const MAX_ELEMENTS = 8;
const MAX_CHARACTERS = 200;

export function ggufEntry(key: string, value: GgufValue, isFull: boolean): MetadataEntry {
  const type = value.type === 'array' ? `array of ${value.elementType}` : value.type;
  const plain = value.type === 'array' ? plainArray(value, isFull) : plainScalar(value.value, value.type);
  const length = value.type === 'array' ? value.value.length : undefined;
  return shorten({ key, type, value: plain }, length, isFull);
}

export function jsonEntry(key: string, value: JsonValue, isFull: boolean): MetadataEntry {
  const type = value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
  const length = Array.isArray(value) ? value.length : undefined;
  return shorten({ key, type, value: value as PlainValue }, length, isFull);
}

function shorten(entry: MetadataEntry, length: number | undefined, isFull: boolean): MetadataEntry {
  const { value } = entry;
  if (isFull) return entry;
  if (typeof value === 'string' && value.length > MAX_CHARACTERS) {
    // Not between the halves of a surrogate pair.
    return { ...entry, value: value.slice(0, MAX_CHARACTERS).toWellFormed(), length: value.length };
  }
  if (length !== undefined && length > MAX_ELEMENTS) {
    return { ...entry, value: (value as readonly PlainValue[]).slice(0, MAX_ELEMENTS), length };
  }
  return entry;
}

/** JSON has no NaN, no infinities and no whole numbers past 2^53: those become text. */
function plainScalar(value: string | number | bigint | boolean, type: GgufValueType): PlainValue {
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'number') return value;
  if (!Number.isFinite(value)) return String(value);
  return type === 'float32' ? shortestFloat32(value) : value;
}

/** The shortest decimal number that is this one in 32 bits: 0.00001 rather than 0.000009999999747378752. */
function shortestFloat32(value: number): number {
  for (let digits = 6; digits < 9; digits++) {
    const shorter = Number(value.toPrecision(digits));
    if (Math.fround(shorter) === value) return shorter;
  }
  return value;
}

function plainArray(array: GgufArray, isFull: boolean): PlainValue[] {
  const count = isFull ? array.value.length : Math.min(MAX_ELEMENTS, array.value.length);
  const items: PlainValue[] = [];
  for (let i = 0; i < count; i++) {
    const item = array.value[i]!;
    if (typeof item === 'object') items.push(plainArray(item, isFull));
    else if (typeof item === 'string' && !isFull) items.push(item.slice(0, MAX_CHARACTERS).toWellFormed());
    else items.push(array.elementType === 'bool' ? item !== 0 : plainScalar(item, array.elementType));
  }
  return items;
}
