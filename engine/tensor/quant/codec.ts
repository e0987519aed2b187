/** The checked way in and out of every format: whole arrays, clear errors. Part of the public API. */
import { InvalidArgumentError, UnsupportedError } from '../../errors.ts';
import { FLOAT_DTYPES, type FloatDType, isFloatDType } from '../dtype.ts';
import type { QuantFormat } from './quant-format.ts';
import { quantFormat } from './quant-registry.ts';

/** Expands packed bytes to f32, bit for bit as ggml's C reference does (NaN payloads aside).
 * @param bytes  exactly the bytes of `count` elements, at any alignment
 * @param count  a multiple of the format's block size
 * @throws InvalidArgumentError for an unknown type, a count that does not fill blocks, or a byte length that does not
 *   belong to that count */
export function dequantize(type: FloatDType, bytes: Uint8Array, count: number): Float32Array {
  const format = checkedFormat(type);
  checkTypedArray('bytes', bytes, 'Uint8Array');
  const numBlocks = numBlocksIn(format, 'count', count);
  const expected = numBlocks * format.bytesPerBlock;
  if (bytes.byteLength !== expected) {
    throw new InvalidArgumentError(
      'bytes',
      `${count} ${type} elements take ${expected} bytes, got ${bytes.byteLength}`,
    );
  }
  const values = new Float32Array(count);
  format.dequantize(bytes, 0, values, 0, numBlocks);
  return values;
}

/** Packs f32 values. Every quant block is on its own: a matrix whose rows are multiples of the block size can be packed
 * row by row or all at once, to the same bytes.
 * @throws InvalidArgumentError for an unknown type, a length that does not fill blocks, or a value the format has no
 *   image for (see `checkQuantizable`); UnsupportedError for a format that Quern only reads */
export function quantize(type: FloatDType, values: Float32Array): Uint8Array {
  const format = checkedFormat(type);
  checkTypedArray('values', values, 'Float32Array');
  if (format.quantize === undefined) {
    const writable = FLOAT_DTYPES.filter((dtype) => quantFormat(dtype).quantize !== undefined);
    throw new UnsupportedError(`quantizing to ${type}`, `Quern only reads it; it writes ${writable.join(', ')}`);
  }
  const numBlocks = numBlocksIn(format, 'values.length', values.length);
  checkQuantizable(type, values);
  const bytes = new Uint8Array(numBlocks * format.bytesPerBlock);
  format.quantize(values, 0, bytes, 0, numBlocks);
  return bytes;
}

/** Block formats hold neither NaN nor infinities, and a value so large that its block's f16 scale would overflow would
 * turn the whole block into infinities. f32, f16 and bf16 take everything (f16 rounds beyond 65519 to infinity).
 * @param firstIndex  what the first value's index is to the reader, when `values` is a part of something
 * @throws InvalidArgumentError naming the index of the first such value */
export function checkQuantizable(type: FloatDType, values: Float32Array, firstIndex = 0): void {
  const limit = checkedFormat(type).maxMagnitude;
  if (limit === undefined) return;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (Math.abs(value) <= limit) continue; // false for NaN
    const index = firstIndex + i;
    const range = `${type} takes finite values up to ${limit} in magnitude`;
    throw new InvalidArgumentError('values', `${value} at index ${index}: ${range}`, { index, value, limit });
  }
}

function checkedFormat(type: FloatDType): QuantFormat {
  if (isFloatDType(type)) return quantFormat(type);
  throw new InvalidArgumentError('type', `${JSON.stringify(type)} is none of ${FLOAT_DTYPES.join(', ')}`);
}

function numBlocksIn({ dtype, blockSize }: QuantFormat, argument: string, count: number): number {
  if (Number.isSafeInteger(count) && count >= 0 && count % blockSize === 0) return count / blockSize;
  const unit = blockSize === 1 ? 'whole number from 0' : `multiple of ${blockSize} (${dtype}'s block size)`;
  throw new InvalidArgumentError(argument, `must be a ${unit}, got ${count}`);
}

/** By tag rather than `instanceof`, which fails for arrays of another realm; a Buffer is a Uint8Array. */
function checkTypedArray(argument: string, value: unknown, tag: string): void {
  const actual = Object.prototype.toString.call(value).slice('[object '.length, -1);
  if (actual !== tag) throw new InvalidArgumentError(argument, `must be a ${tag}, got ${actual}`);
}
