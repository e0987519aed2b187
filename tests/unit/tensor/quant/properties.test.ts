import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FloatDType } from '../../../../engine/tensor/dtype.ts';
import { dequantize, quantize } from '../../../../engine/tensor/quant/codec.ts';
import { quantFormat } from '../../../../engine/tensor/quant/quant-registry.ts';
import { anyBlock, bitsOf, READ_ONLY, valuesUpTo, WRITABLE } from './quant-samples.ts';

const { abs, max, min } = Math;

function roundTrip(dtype: FloatDType, values: Float32Array): Float32Array {
  return dequantize(dtype, quantize(dtype, values), values.length);
}

/** How far an f16 scale may be off: half a unit of its last place. */
const F16_HALF_ULP = 2 ** -11;
const F16_HALF_SUBNORMAL_STEP = 2 ** -25;

/** Largest error that each format allows itself on one quant block. `steps` is how many levels the scale multiplies:
 * an error of the scale itself counts that often. */
type Bound = (block: Float32Array) => number;

function boundOfAbsMax(fractionOfAbsMax: number, steps: number): Bound {
  return (block) => {
    const absMax = block.reduce((m, value) => max(m, abs(value)), 0);
    return absMax * (fractionOfAbsMax + 1.001 * F16_HALF_ULP) + steps * F16_HALF_SUBNORMAL_STEP;
  };
}

function boundOfRange(steps: number): Bound {
  return (block) => {
    const low = block.reduce((m, value) => min(m, value), Infinity);
    const high = block.reduce((m, value) => max(m, value), -Infinity);
    const scaleAndMin = (high - low + abs(low)) * 1.001 * F16_HALF_ULP + (steps + 1) * F16_HALF_SUBNORMAL_STEP;
    return ((high - low) / steps) * 0.501 + scaleAndMin;
  };
}

const BOUNDS: Readonly<Record<string, Bound>> = {
  f32: () => 0,
  f16: (block) => F16_HALF_ULP * abs(block[0]!) + F16_HALF_SUBNORMAL_STEP,
  bf16: (block) => 2 ** -8 * abs(block[0]!) + 2 ** -134,
  // One side of the range is a step short, so its end may lose a whole step and not half of one.
  q4_0: boundOfAbsMax(1 / 8, 8),
  q5_0: boundOfAbsMax(1 / 16, 16),
  q8_0: boundOfAbsMax(0.5 / 127, 127),
  q4_1: boundOfRange(15),
  q5_1: boundOfRange(31),
  // No tight bound holds for one element: small sub-blocks pay for large neighbours, small elements for large ones.
  // A step of the super-block's full range (twice absMax) is what the worst of them stays below.
  q4_k: boundOfAbsMax(2 / 15, 63 * 16),
  q5_k: boundOfAbsMax(2 / 31, 63 * 32),
  q6_k: boundOfAbsMax(1 / 32, 128 * 32),
};

describe('quantize then dequantize', () => {
  it.each(WRITABLE)('%s stays within its error bound', (dtype) => {
    const { blockSize } = quantFormat(dtype);
    fc.assert(
      fc.property(anyBlock, (values) => {
        const back = roundTrip(dtype, values);
        for (let start = 0; start < values.length; start += blockSize) {
          const bound = BOUNDS[dtype]!(values.subarray(start, start + blockSize));
          for (let i = start; i < start + blockSize; i++) {
            const error = abs(back[i]! - values[i]!);
            if (!(error <= bound)) expect.fail(`element ${i}: ${values[i]} became ${back[i]}, allowed ${bound}`);
          }
        }
      }),
    );
  });

  it.each(WRITABLE.filter((dtype) => quantFormat(dtype).maxMagnitude))('%s stays finite up to its limit', (dtype) => {
    fc.assert(
      fc.property(valuesUpTo(quantFormat(dtype).maxMagnitude!), (values) => {
        expect(roundTrip(dtype, values).every(Number.isFinite)).toBe(true);
      }),
    );
  });

  it.each(WRITABLE)('%s keeps denormals finite and near zero', (dtype) => {
    fc.assert(
      fc.property(valuesUpTo(2 ** -130), (values) => {
        for (const value of roundTrip(dtype, values)) expect(abs(value)).toBeLessThanOrEqual(2 ** -129);
      }),
    );
  });

  it.each(WRITABLE)('%s turns zeros into zeros, whatever the bytes were before', (dtype) => {
    const { blockSize, bytesPerBlock, quantize: write } = quantFormat(dtype);
    const numBlocks = 256 / blockSize;
    for (const zero of [0, -0]) {
      const bytes = new Uint8Array(numBlocks * bytesPerBlock).fill(0xff);
      write!(new Float32Array(256).fill(zero), 0, bytes, 0, numBlocks);
      expect(dequantize(dtype, bytes, 256).every((value) => value === 0)).toBe(true);
    }
  });

  // The extreme element sits exactly on a level in these, so the second pass finds the same scale. With a minimum of
  // its own (q4_1, q5_1) or a search (k-quants) a format may move a little again.
  it.each(['f32', 'f16', 'bf16', 'q4_0', 'q5_0', 'q8_0'] as const)('%s: a second pass changes nothing', (dtype) => {
    fc.assert(
      fc.property(anyBlock, (values) => {
        const once = roundTrip(dtype, values);
        const twice = roundTrip(dtype, once);
        expect(twice.every((value, i) => value === once[i])).toBe(true);
      }),
    );
  });
});

describe('quant blocks are independent', () => {
  it.each(WRITABLE)('%s: rows packed together are rows packed apart', (dtype) => {
    fc.assert(
      fc.property(anyBlock, anyBlock, (a, b) => {
        const together = quantize(dtype, Float32Array.of(...a, ...b));
        expect(together).toEqual(Uint8Array.of(...quantize(dtype, a), ...quantize(dtype, b)));
      }),
    );
  });

  it.each(WRITABLE)('%s quantizes from and to any offset, touching nothing else', (dtype) => {
    const { blockSize, bytesPerBlock, quantize: write } = quantFormat(dtype);
    const numBlocks = 256 / blockSize;
    const numBytes = numBlocks * bytesPerBlock;
    fc.assert(
      fc.property(anyBlock, fc.nat(9), fc.nat(9), (values, srcOffset, dstOffset) => {
        const src = new Float32Array(256 + 20).fill(Number.NaN);
        const dst = new Uint8Array(numBytes + 20).fill(0xa5);
        src.set(values, srcOffset);
        write!(src, srcOffset, dst, dstOffset, numBlocks);
        expect(dst.subarray(dstOffset, dstOffset + numBytes)).toEqual(quantize(dtype, values));
        expect(dst.subarray(0, dstOffset).every((byte) => byte === 0xa5)).toBe(true);
        expect(dst.subarray(dstOffset + numBytes).every((byte) => byte === 0xa5)).toBe(true);
      }),
    );
  });

  it.each([...WRITABLE, ...READ_ONLY])('%s dequantizes from and to any offset, touching nothing else', (dtype) => {
    const format = quantFormat(dtype);
    const numBlocks = 256 / format.blockSize;
    const numBytes = numBlocks * format.bytesPerBlock;
    // Bit 6 of every byte clear: no f16, bf16 or f32 among them is infinite or NaN, wherever the scales lie.
    const packed = fc.uint8Array({ minLength: numBytes, maxLength: numBytes }).map((b) => b.map((byte) => byte & 0xbf));
    fc.assert(
      fc.property(packed, fc.nat(9), fc.nat(9), (bytes, srcOffset, dstOffset) => {
        const expected = dequantize(dtype, bytes, 256);
        // Views that do not begin where their buffers do, as parts of a larger memory do not.
        const src = new Uint8Array(numBytes + 21).fill(0x5a).subarray(1);
        const dst = new Float32Array(256 + 21).fill(7).subarray(1);
        src.set(bytes, srcOffset);
        format.dequantize(src, srcOffset, dst, dstOffset, numBlocks);
        expect(bitsOf(dst.subarray(dstOffset, dstOffset + 256))).toEqual(bitsOf(expected));
        expect(dst.subarray(0, dstOffset).every((value) => value === 7)).toBe(true);
        expect(dst.subarray(dstOffset + 256).every((value) => value === 7)).toBe(true);
        expect(expected.every(Number.isFinite)).toBe(true);
      }),
    );
  });
});
