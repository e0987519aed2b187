import { describe, expect, it } from 'vitest';
import type { FloatDType } from '../../../../engine/tensor/dtype.ts';
import { checkQuantizable, dequantize, quantize } from '../../../../engine/tensor/quant/codec.ts';
import { quantFormat } from '../../../../engine/tensor/quant/quant-registry.ts';
import { READ_ONLY, WRITABLE } from './quant-samples.ts';

const invalid = (message: RegExp) =>
  expect.objectContaining({ code: 'INVALID_ARGUMENT', message: expect.stringMatching(message) });

describe('dequantize', () => {
  it('takes exactly the bytes of the count', () => {
    expect(dequantize('q8_0', new Uint8Array(68), 64)).toEqual(new Float32Array(64));
    expect(() => dequantize('q8_0', new Uint8Array(67), 64)).toThrow(invalid(/64 q8_0 elements take 68 bytes, got 67/));
    expect(() => dequantize('q8_0', new Uint8Array(69), 64)).toThrow(invalid(/take 68 bytes, got 69/));
    expect(() => dequantize('f32', new Uint8Array(0), 1)).toThrow(invalid(/take 4 bytes, got 0/));
  });

  it('takes nothing', () => {
    for (const dtype of [...WRITABLE, ...READ_ONLY]) {
      expect(dequantize(dtype, new Uint8Array(0), 0)).toEqual(new Float32Array(0));
    }
  });

  it.each([-32, 31, 0.5, Number.NaN, Infinity, 2 ** 60])('refuses a count of %d', (count) => {
    expect(() => dequantize('q4_0', new Uint8Array(18), count)).toThrow(invalid(/count/));
  });

  it('allocates nothing for a count that the bytes cannot hold', () => {
    expect(() => dequantize('q4_0', new Uint8Array(18), 2 ** 52)).toThrow(invalid(/bytes, got 18/));
  });

  it('refuses unknown types, also those every object has', () => {
    for (const type of ['q4_9', 'Q4_0', '', '__proto__', 'constructor', 'i32', undefined, 4]) {
      expect(() => dequantize(type as FloatDType, new Uint8Array(18), 32)).toThrow(invalid(/type.*none of f32, f16/));
      expect(() => quantize(type as FloatDType, new Float32Array(32))).toThrow(invalid(/type.*none of f32, f16/));
    }
  });

  it('takes a Buffer, and refuses other arrays', () => {
    expect(dequantize('f16', Buffer.from([0, 0x3c]), 1)).toEqual(Float32Array.of(1));
    expect(() => dequantize('f16', [0, 0x3c] as unknown as Uint8Array, 1)).toThrow(invalid(/must be a Uint8Array/));
    expect(() => dequantize('f16', Int8Array.of(0, 1) as unknown as Uint8Array, 1)).toThrow(invalid(/got Int8Array/));
  });
});

describe('quantize', () => {
  it.each(READ_ONLY)('%s is only read', (dtype) => {
    expect(() => quantize(dtype, new Float32Array(256))).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED', message: expect.stringContaining('q4_0') }),
    );
  });

  it.each(WRITABLE)('%s gives the bytes its format declares', (dtype) => {
    const { blockSize, bytesPerBlock } = quantFormat(dtype);
    expect(quantize(dtype, new Float32Array(3 * blockSize)).byteLength).toBe(3 * bytesPerBlock);
    expect(quantize(dtype, new Float32Array(0)).byteLength).toBe(0);
  });

  it('refuses what does not fill blocks', () => {
    expect(() => quantize('q4_0', new Float32Array(33))).toThrow(
      invalid(/multiple of 32 \(q4_0's block size\), got 33/),
    );
    expect(() => quantize('q6_k', new Float32Array(128))).toThrow(invalid(/multiple of 256/));
    expect(() => quantize('q4_0', new Float64Array(32) as unknown as Float32Array)).toThrow(
      invalid(/got Float64Array/),
    );
  });

  it.each(WRITABLE)('%s: NaN, infinities and what would overflow are refused by index, or kept', (dtype) => {
    const limit = quantFormat(dtype).maxMagnitude;
    const beyond = limit === undefined ? 1 : Math.fround(limit * 1.001);
    for (const bad of [Number.NaN, Infinity, -Infinity, beyond, -beyond]) {
      const values = new Float32Array(256);
      values[37] = bad;
      if (limit === undefined) {
        expect(dequantize(dtype, quantize(dtype, values), 256)).toEqual(values);
      } else {
        expect(() => quantize(dtype, values)).toThrow(invalid(/at index 37: .* takes finite values up to/));
      }
    }
  });

  it('names the index as the caller counts', () => {
    expect(() => checkQuantizable('q8_0', Float32Array.of(0, Number.NaN), 1000)).toThrow(
      expect.objectContaining({ details: expect.objectContaining({ index: 1001 }) }),
    );
    expect(() => checkQuantizable('bf16', Float32Array.of(Number.NaN))).not.toThrow();
  });

  it('rounds to infinity what is too large for f16', () => {
    expect(dequantize('f16', quantize('f16', Float32Array.of(65519, 65520, -1e9)), 3)).toEqual(
      Float32Array.of(65504, Infinity, -Infinity),
    );
  });
});
