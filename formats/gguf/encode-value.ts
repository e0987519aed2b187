/** Writes one metadata value: the reverse of `read-value.ts`, which draws the layout. Refuses what would not come back. */
import { InvalidArgumentError } from '../../engine/errors.ts';
import type { ByteBuilder } from './byte-builder.ts';
import {
  GGUF_VALUE_TYPES,
  type GgufArray,
  type GgufNumberType,
  type GgufValue,
  type GgufValueType,
  NUMBER_TYPES,
} from './gguf-value.ts';

/** Appends type and value. @throws InvalidArgumentError when the value does not fit its type. */
export function encodeValue(out: ByteBuilder, key: string, value: GgufValue): void {
  encodeType(out, key, value.type);
  if (value.type === 'array') encodeArray(out, key, value);
  else if (value.type === 'string') encodeString(out, key, value.value);
  else out.raw(scalarBytes(key, value.type, value.value));
}

function encodeType(out: ByteBuilder, key: string, type: GgufValueType): void {
  const id = GGUF_VALUE_TYPES.indexOf(type);
  if (id < 0) throw new InvalidArgumentError(key, `${type} is not a GGUF value type`);
  out.uint32(id);
}

function encodeArray(out: ByteBuilder, key: string, array: GgufArray): void {
  encodeType(out, key, array.elementType);
  out.uint64(array.value.length);
  if (array.elementType === 'string') {
    for (const text of array.value) encodeString(out, key, text);
  } else if (array.elementType === 'array') {
    for (const inner of array.value) encodeArray(out, key, inner);
  } else {
    const { value, elementType } = array;
    if (!(value instanceof NUMBER_TYPES[elementType].arrayType)) {
      throw new InvalidArgumentError(key, `an array of ${elementType} must be a typed array of that width`);
    }
    if (elementType === 'bool' && value.some((flag) => flag > 1)) {
      throw new InvalidArgumentError(key, 'an array of bools must hold 0 and 1 only');
    }
    out.raw(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  }
}

function encodeString(out: ByteBuilder, key: string, text: string): void {
  if (!text.isWellFormed()) throw new InvalidArgumentError(key, `${JSON.stringify(text)} is not valid Unicode`);
  out.string(text);
}

/** A typed array of one element converts, and comparing what it holds shows whether the number fitted. */
function scalarBytes(key: string, type: GgufNumberType, value: number | bigint | boolean): Uint8Array {
  const { arrayType } = NUMBER_TYPES[type];
  const cell = new arrayType(1);
  let fits: boolean;
  if (cell instanceof BigUint64Array || cell instanceof BigInt64Array) {
    fits = typeof value === 'bigint' || Number.isSafeInteger(value);
    if (fits) cell[0] = BigInt(value);
    fits &&= cell[0] === BigInt(value);
  } else {
    cell[0] = Number(value);
    fits = type === 'float32' || type === 'float64' ? typeof value === 'number' : cell[0] === Number(value);
    if (type === 'bool') fits &&= typeof value === 'boolean';
  }
  if (!fits) throw new InvalidArgumentError(key, `${value} does not fit into ${type}`);
  return new Uint8Array(cell.buffer);
}
