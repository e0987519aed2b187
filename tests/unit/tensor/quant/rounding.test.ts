/** Which way each format rounds an element exactly between two levels: ggml's way, worked out by hand. */
import { describe, expect, it } from 'vitest';
import type { FloatDType } from '../../../../engine/tensor/dtype.ts';
import { dequantize, quantize } from '../../../../engine/tensor/quant/codec.ts';

/** A block whose step is 1 because of `extremes`, round-tripped. */
function roundTrip(dtype: FloatDType, extremes: readonly number[], values: readonly number[]): number[] {
  const block = new Float32Array(32);
  block.set([...extremes, ...values]);
  return [...dequantize(dtype, quantize(dtype, block), 32)].slice(extremes.length, extremes.length + values.length);
}

describe('halves', () => {
  it.each([
    ['q4_0', [-8]],
    ['q5_0', [-16]],
  ] as const)('%s rounds them up', (dtype, extremes) => {
    expect(roundTrip(dtype, extremes, [0.5, 1.5, -0.5, -1.5, 6.5, 0.4999, -0.5001])).toEqual([1, 2, 0, -1, 7, 0, -1]);
  });

  it.each([
    ['q4_1', [0, 15]],
    ['q5_1', [0, 31]],
  ] as const)('%s rounds them up', (dtype, extremes) => {
    expect(roundTrip(dtype, extremes, [0.5, 1.5, 2.5, 13.5, 0.4999, 2.4999])).toEqual([1, 2, 3, 14, 0, 2]);
  });

  it('q8_0 rounds them away from zero', () => {
    const values = [0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5, -126.5, 0.4999, -0.4999];
    expect(roundTrip('q8_0', [127], values)).toEqual([1, 2, 3, -1, -2, -3, 127, -127, 0, 0]);
  });

  it('q4_0 and q5_0 clamp the end that is a step short', () => {
    expect(roundTrip('q4_0', [-8], [8, 7.6])).toEqual([7, 7]);
    expect(roundTrip('q5_0', [-16], [16, 15.6])).toEqual([15, 15]);
    expect(roundTrip('q4_0', [8], [-8, -7.6])).toEqual([-7, -7]); // the scale takes the extreme's sign
  });
});
