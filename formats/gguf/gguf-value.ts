/** Metadata values as GGUF types them, so that a file can be read and written back without losing a type.
 *
 * Source: `enum gguf_metadata_value_type` in the GGUF specification. */

/** In the order of their numbers in a file: `uint8` is 0, `float64` is 12. */
export const GGUF_VALUE_TYPES = [
  'uint8',
  'int8',
  'uint16',
  'int16',
  'uint32',
  'int32',
  'float32',
  'bool',
  'string',
  'array',
  'uint64',
  'int64',
  'float64',
] as const;

export type GgufValueType = (typeof GGUF_VALUE_TYPES)[number];

/** Types of a fixed width whose arrays are kept as typed arrays: as many bytes in memory as in the file. */
export const NUMBER_TYPES = {
  uint8: { bytes: 1, arrayType: Uint8Array },
  int8: { bytes: 1, arrayType: Int8Array },
  uint16: { bytes: 2, arrayType: Uint16Array },
  int16: { bytes: 2, arrayType: Int16Array },
  uint32: { bytes: 4, arrayType: Uint32Array },
  int32: { bytes: 4, arrayType: Int32Array },
  float32: { bytes: 4, arrayType: Float32Array },
  /** One byte each, 0 or 1. */
  bool: { bytes: 1, arrayType: Uint8Array },
  uint64: { bytes: 8, arrayType: BigUint64Array },
  int64: { bytes: 8, arrayType: BigInt64Array },
  float64: { bytes: 8, arrayType: Float64Array },
} as const;

export type GgufNumberType = keyof typeof NUMBER_TYPES;

export type GgufNumberArray = {
  readonly [T in GgufNumberType]: {
    readonly type: 'array';
    readonly elementType: T;
    readonly value: InstanceType<(typeof NUMBER_TYPES)[T]['arrayType']>;
  };
}[GgufNumberType];

export type GgufArray =
  | GgufNumberArray
  | { readonly type: 'array'; readonly elementType: 'string'; readonly value: readonly string[] }
  | { readonly type: 'array'; readonly elementType: 'array'; readonly value: readonly GgufArray[] };

export type GgufValue =
  | {
      readonly type: 'uint8' | 'int8' | 'uint16' | 'int16' | 'uint32' | 'int32' | 'float32' | 'float64';
      readonly value: number;
    }
  /** A number while it is exact, from 2^53 a bigint. */
  | { readonly type: 'uint64' | 'int64'; readonly value: number | bigint }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
  | GgufArray;

export type GgufMetadata = ReadonlyMap<string, GgufValue>;

/** Short forms for writers and tests: `gguf.string('llama')`, `gguf.uint32(64)`, `gguf.strings(['a', 'b'])`. */
export const gguf = {
  uint32: (value: number): GgufValue => ({ type: 'uint32', value }),
  int32: (value: number): GgufValue => ({ type: 'int32', value }),
  uint16: (value: number): GgufValue => ({ type: 'uint16', value }),
  uint64: (value: number | bigint): GgufValue => ({ type: 'uint64', value }),
  float32: (value: number): GgufValue => ({ type: 'float32', value }),
  bool: (value: boolean): GgufValue => ({ type: 'bool', value }),
  string: (value: string): GgufValue => ({ type: 'string', value }),
  strings: (value: readonly string[]): GgufArray => ({ type: 'array', elementType: 'string', value }),
  int32s: (value: ArrayLike<number>): GgufArray => ({
    type: 'array',
    elementType: 'int32',
    value: Int32Array.from(value),
  }),
  uint32s: (value: ArrayLike<number>): GgufArray => ({
    type: 'array',
    elementType: 'uint32',
    value: Uint32Array.from(value),
  }),
  float32s: (value: ArrayLike<number>): GgufArray => ({
    type: 'array',
    elementType: 'float32',
    value: Float32Array.from(value),
  }),
} as const;
