/** Random inputs for kernel tests. Sizes come from fast-check, so that failures shrink; values come from a seed, so
 * that a failing case prints as a few numbers. */
import fc from 'fast-check';
import { FLOAT_DTYPES, type FloatDType } from '../../engine/tensor/dtype.ts';
import type { QuantFormat } from '../../engine/tensor/quant/quant-format.ts';
import { quantFormat } from '../../engine/tensor/quant/quant-registry.ts';
import { Rng } from '../../engine/util/rng.ts';

export const WEIGHT_FORMATS: readonly QuantFormat[] = FLOAT_DTYPES.map((dtype) => quantFormat(dtype));

/** `count` f32 values, uniform from -scale to scale. */
export function randomValues(seed: number, count: number, scale = 1): Float32Array {
  const rng = Rng.fromSeed(seed);
  return Float32Array.from({ length: count }, () => (2 * rng.nextFloat() - 1) * scale);
}

/** `count` whole numbers from 0 to limit - 1. */
export function randomInts(seed: number, count: number, limit: number): Int32Array {
  const rng = Rng.fromSeed(seed);
  return Int32Array.from({ length: count }, () => Math.floor(rng.nextFloat() * limit));
}

/** 0 to count - 1 in random order (Fisher and Yates). */
export function permutation(seed: number, count: number): Int32Array {
  const rng = Rng.fromSeed(seed);
  const order = Int32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(rng.nextFloat() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

/** Stored bytes of a random weight of `count` elements. Formats that Quern only reads get random bytes, with the bit
 * cleared that makes a two-byte float reach 2 or beyond: whichever bytes hold the scales, all values are finite. */
export function randomWeightBytes(dtype: FloatDType, seed: number, count: number): Uint8Array {
  const format = quantFormat(dtype);
  const numBlocks = count / format.blockSize;
  const bytes = new Uint8Array(numBlocks * format.bytesPerBlock);
  if (format.quantize === undefined) {
    const rng = Rng.fromSeed(seed);
    return bytes.map(() => rng.nextUint32() & 0b1011_1111);
  }
  format.quantize(randomValues(seed, count), 0, bytes, 0, numBlocks);
  return bytes;
}

/** What a backend sees of values after they were stored in a format. */
export function throughFormat(dtype: FloatDType, values: Float32Array): Float32Array {
  const format = quantFormat(dtype);
  const numBlocks = values.length / format.blockSize;
  const bytes = new Uint8Array(numBlocks * format.bytesPerBlock);
  const result = new Float32Array(values.length);
  format.quantize!(values, 0, bytes, 0, numBlocks);
  format.dequantize(bytes, 0, result, 0, numBlocks);
  return result;
}

export const seed = (): fc.Arbitrary<number> => fc.nat(2 ** 31 - 1);

/** 1, odd sizes, powers of two, and neighbours of the widths that vector kernels like. */
export const size = (max = 70): fc.Arbitrary<number> => {
  const notable = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 129];
  return fc.constantFrom(...notable.filter((n) => n <= max));
};

export const numTokens = (): fc.Arbitrary<number> => fc.integer({ min: 1, max: 9 });

/** A format, and a row length of one to a few of its quant blocks. */
export const weightRow = (): fc.Arbitrary<{ dtype: FloatDType; rowLength: number }> =>
  fc
    .tuple(fc.constantFrom(...WEIGHT_FORMATS), size(129), fc.integer({ min: 1, max: 3 }))
    .map(([{ dtype, blockSize }, elements, numBlocks]) => ({
      dtype,
      rowLength: blockSize === 1 ? elements : blockSize * numBlocks,
    }));
