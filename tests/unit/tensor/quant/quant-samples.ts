/** Inputs for the tests of the quant formats. */
import fc from 'fast-check';
import { FLOAT_DTYPES, type FloatDType } from '../../../../engine/tensor/dtype.ts';
import { quantFormat } from '../../../../engine/tensor/quant/quant-registry.ts';

export const WRITABLE: readonly FloatDType[] = FLOAT_DTYPES.filter((dtype) => quantFormat(dtype).quantize);
export const READ_ONLY: readonly FloatDType[] = FLOAT_DTYPES.filter((dtype) => !quantFormat(dtype).quantize);

/** 256 elements: one super-block, or eight blocks of 32. fast-check mixes in zeros, -0, denormals and the ends. */
export function valuesUpTo(maxMagnitude: number): fc.Arbitrary<Float32Array> {
  const limit = Math.fround(maxMagnitude);
  return fc.float32Array({ minLength: 256, maxLength: 256, min: -limit, max: limit, noNaN: true });
}

/** Super-blocks as weights look, and as they had better not: any magnitude that f16 scales can follow, either sign or
 * both, sub-blocks of very different size. */
export const anyBlock: fc.Arbitrary<Float32Array> = fc
  .record({
    values: valuesUpTo(1),
    exponent: fc.integer({ min: -30, max: 15 }),
    offset: fc.constantFrom(0, 0, 0, 1, -1, 0.9),
    fadePerSubBlock: fc.constantFrom(1, 1, 0.5, 0.01),
  })
  .map(({ values, exponent, offset, fadePerSubBlock }) =>
    values.map((value, i) => 0.5 * (value + offset) * 2 ** exponent * fadePerSubBlock ** (i >> 5)),
  );

/** Bits, so that -0 differs from 0. */
export function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

/** Root of the mean squared difference. */
export function rmse(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) ** 2;
  return Math.sqrt(sum / a.length);
}
